// Filling, converting and adding up whole arrays: each byte moves once, in vectors of 16 bytes.
#include <karyon/core/kernels/copy.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

template <class T>
constexpr bool in_16_bits = std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;

template <class To, class From>
__host__ __device__ constexpr Stored<To> convert_value(From x) {
  if constexpr (in_16_bits<From>) {
    return convert_value<To>(static_cast<float>(x));
  } else if constexpr (in_16_bits<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // As on the CPU. A narrower type would stop at its ends.
    return static_cast<To>(static_cast<std::int64_t>(x));
  } else {
    return static_cast<To>(x);
  }
}

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};
void fill(Tensor& y, double value) {
  dispatch_all(y.dtype(), [&]<class T>() { map_same<T>(Constant<Stored<T>>{convert_value<T>(value)}, y); });
}

template <class To>
struct Convert {
  template <class From>
  __device__ Stored<To> operator()(From x) const {
    return convert_value<To>(x);
  }
};
void convert(const Tensor& x, Tensor& y) {
  if (x.dtype() == y.dtype() || (x.dtype() == boolean && y.dtype() == u8)) {
    const std::size_t bytes = static_cast<std::size_t>(y.numel()) * element_size(y.dtype());
    if (bytes == 0) return;
    KARYON_CUDA_CHECK(
        cudaMemcpyAsync(y.data_ptr(), x.data_ptr(), bytes, cudaMemcpyDeviceToDevice, context().stream));
    return;
  }
  dispatch_all(x.dtype() == boolean ? u8 : x.dtype(), [&]<class From>() {
    dispatch_all(y.dtype(), [&]<class To>() {
      if constexpr (!std::is_same_v<From, bool> && !std::is_same_v<From, To>)
        map_same<To>(Convert<To>{}, y, Input<From>{x});
    });
  });
}

template <class T>
struct Axpy {
  T alpha;
  __device__ T operator()(T x, T y) const { return y + alpha * x; }
};
struct AxpyWide {
  double alpha;
  template <class T>
  __device__ T operator()(T x, T y) const {
    return convert_value<T>(convert_value<double>(y) + alpha * convert_value<double>(x));
  }
};
void axpy(double alpha, const Tensor& x, Tensor& y) {
  dispatch_all(y.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
      map_same<T>(Axpy<T>{static_cast<T>(alpha)}, y, Input<T>{x}, Input<T>{y});
    } else if constexpr (std::is_same_v<T, bool>) {
      check(false, "add_: no cuda kernel for bool");
    } else {
      map_same<T>(AxpyWide{alpha}, y, Input<T>{x}, Input<T>{y});
    }
  });
}

template <class T>
struct Scale {
  T factor;
  __device__ T operator()(T y) const { return y * factor; }
};
void scale(double factor, Tensor& y) {
  if (y.dtype() == bf16)
    return map_same<BFloat16>(InFloat<Scale<float>>{{static_cast<float>(factor)}}, y, Input<BFloat16>{y});
  dispatch_floating(y.dtype(), "mul_",
                    [&]<class T>() { map_same<T>(Scale<T>{static_cast<T>(factor)}, y, Input<T>{y}); });
}

}  // namespace

void register_copy_kernels(KernelTable& table) {
  table.add<decltype(kernels::fill), fill>("fill");
  table.add<decltype(kernels::convert), convert>("convert");
  table.add<decltype(kernels::axpy), axpy>("axpy");
  table.add<decltype(kernels::scale), scale>("scale");
}

}  // namespace karyon::cuda
