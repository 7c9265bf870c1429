#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/lazy.h>
#include <karyon/core/parallel.h>

#include <limits>

namespace karyon {
namespace {

constexpr std::int64_t grain = 32768;

template <class T>
constexpr bool in_16_bits = std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;

template <class To, class From>
To convert_value(From x) {
  if constexpr (std::is_same_v<From, To>) {
    return x;
  } else if constexpr (in_16_bits<From>) {
    return convert_value<To>(static_cast<float>(x));
  } else if constexpr (in_16_bits<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Through i64, because a narrower type would wrap. Values that i64 cannot hold, NaN too, become its
    // least.
    constexpr From end = 9223372036854775808.0;
    const auto whole =
        x >= -end && x < end ? static_cast<std::int64_t>(x) : std::numeric_limits<std::int64_t>::min();
    return static_cast<To>(whole);
  } else {
    return static_cast<To>(x);
  }
}

void fill_cpu(Tensor& y, double value) {
  dispatch_all(y.dtype(), [&]<class T>() {
    T* out = y.data<T>();
    const T v = convert_value<T>(value);
    parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) { std::fill(out + b, out + e, v); });
  });
}

void convert_cpu(const Tensor& x, Tensor& y) {
  dispatch_all(x.dtype(), [&]<class From>() {
    dispatch_all(y.dtype(), [&]<class To>() {
      const From* in = x.data<From>();
      To* out = y.data<To>();
      parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) {
        cpu::vectorized([=] {
          for (std::int64_t i = b; i < e; ++i) out[i] = convert_value<To>(in[i]);
        });
      });
    });
  });
}

void axpy_cpu(double alpha, const Tensor& x, Tensor& y) {
  // x may be lazy, of a kind that can be added without being materialized.
  if (const auto lazy = lazy_of(x); lazy && alpha == 1 && lazy->add_to(y)) return;
  dispatch_all(y.dtype(), [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      using C = cpu::Computed<T>;
      if constexpr (std::is_same_v<C, float> || std::is_same_v<C, double>) {
        cpu::vectorized([=, a = static_cast<C>(alpha)] {
          for (std::int64_t i = b; i < e; ++i)
            out[i] = static_cast<T>(static_cast<C>(out[i]) + a * static_cast<C>(in[i]));
        });
      } else {
        for (std::int64_t i = b; i < e; ++i)
          out[i] = convert_value<T>(convert_value<double>(out[i]) + alpha * convert_value<double>(in[i]));
      }
    });
  });
}

void scale_cpu(double factor, Tensor& y) {
  cpu::dispatch_mapped(y.dtype(), "mul_", [&]<class T>() {
    T* out = y.data<T>();
    const auto f = static_cast<cpu::Computed<T>>(factor);
    parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) out[i] = static_cast<T>(static_cast<cpu::Computed<T>>(out[i]) * f);
    });
  });
}

}  // namespace

constinit decltype(kernels::fill) kernels::fill{"fill", fill_cpu};
constinit decltype(kernels::convert) kernels::convert{"convert", convert_cpu};
constinit decltype(kernels::axpy) kernels::axpy{"axpy", axpy_cpu};
constinit decltype(kernels::scale) kernels::scale{"scale", scale_cpu};

}  // namespace karyon
