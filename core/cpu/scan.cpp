#include <karyon/core/cpu/reduce.h>
#include <karyon/core/kernels/scan.h>

namespace karyon {
namespace {

using cpu::for_tiles;
using cpu::Stored;
using cpu::tile;

// Calls body(first element, width) for the tiles of x; a width of 1 is a constant, for which loops are
// simpler.
template <class F>
void for_widths(const Tensor& x, const F& body) {
  const bool rows = x.size(2) == 1;
  for_tiles(x, [&](std::int64_t first, std::int64_t width) {
    rows ? body(first, std::integral_constant<std::int64_t, 1>()) : body(first, width);
  });
}

template <class Op, class In, class Out>
void scan_typed(bool reversed, const Tensor& x, Tensor& y) {
  const Stored<In>* in = cpu::Input<In>{x}.data();
  Out* out = y.data<Out>();
  const std::int64_t n = x.size(1), inner = x.size(2);
  for_widths(x, [=](std::int64_t first, auto width) {
    typename Op::Acc acc[tile];
    std::fill(acc, acc + width, Op::start);
    for (std::int64_t k = 0; k < n; ++k) {
      const std::int64_t row = first + (reversed ? n - 1 - k : k) * inner;
      for (std::int64_t j = 0; j < width; ++j) {
        acc[j] = Op::add(acc[j], static_cast<typename Op::Value>(in[row + j]));
        out[row + j] = static_cast<Out>(acc[j]);
      }
    }
  });
}

template <template <class> class Op>
void scan_any(bool reversed, const Tensor& x, Tensor& y) {
  dispatch_kernel_dtype(x.dtype(), "scan", [&]<class T>() {
    using Value =
        std::conditional_t<std::is_floating_point_v<cpu::Computed<T>>, cpu::Computed<T>, std::int64_t>;
    scan_typed<Op<Value>, T, Value>(reversed, x, y);
  });
}

void scan_cpu(kernels::Scan op, bool reversed, const Tensor& x, Tensor& y) {
  op == kernels::Scan::sum ? scan_any<cpu::Sum>(reversed, x, y) : scan_any<cpu::Product>(reversed, x, y);
}

// dx[i] = y[i - 1] s[i] with s[i] = dy[i] + x[i + 1] s[i + 1]: nothing is divided, so x may be 0.
void cumprod_backward_cpu(const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  dispatch_floating(x.dtype(), "cumprod_backward", [&]<class T>() {
    const T *in = x.data<T>(), *product = y.data<T>(), *upstream = dy.data<T>();
    T* out = dx.data<T>();
    const std::int64_t n = x.size(1), inner = x.size(2);
    for_widths(x, [=](std::int64_t first, auto width) {
      double s[tile] = {};
      for (std::int64_t k = n - 1; k >= 0; --k) {
        const std::int64_t row = first + k * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          const double before = k > 0 ? static_cast<double>(product[row - inner + j]) : 1;
          s[j] += upstream[row + j];
          out[row + j] = static_cast<T>(before * s[j]);
          s[j] *= in[row + j];
        }
      }
    });
  });
}

// wins(a, b): a takes the place of b, which comes before it. No number takes that of NaN.
template <class Wins>
void running_position(const Tensor& x, Tensor& index, Wins wins) {
  dispatch_kernel_dtype(x.dtype(), "cummax", [&]<class T>() {
    using Value = cpu::Computed<Stored<T>>;
    const Stored<T>* in = cpu::Input<T>{x}.data();
    auto* out = index.data<std::int64_t>();
    const std::int64_t n = x.size(1), inner = x.size(2);
    for_widths(x, [=](std::int64_t first, auto width) {
      Value best[tile];
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t row = first + k * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          const auto value = static_cast<Value>(in[row + j]);
          const bool won = k == 0 || wins(value, best[j]);
          best[j] = won ? value : best[j];
          out[row + j] = won ? k : out[row - inner + j];
        }
      }
    });
  });
}
void cummax_cpu(bool largest, const Tensor& x, Tensor& index) {
  if (largest) {
    running_position(x, index, [](auto a, auto b) { return a >= b || a != a; });
  } else {
    running_position(x, index, [](auto a, auto b) { return a <= b || a != a; });
  }
}

// An element is its own index where it takes the lead, and keeps it until the next that does.
void cummax_backward_cpu(const Tensor& index, const Tensor& dy, Tensor& dx) {
  dispatch_floating(dy.dtype(), "cummax_backward", [&]<class T>() {
    const auto* at = index.data<std::int64_t>();
    const T* upstream = dy.data<T>();
    T* out = dx.data<T>();
    const std::int64_t n = dy.size(1), inner = dy.size(2);
    for_widths(dy, [=](std::int64_t first, auto width) {
      double sum[tile] = {};
      for (std::int64_t k = n - 1; k >= 0; --k) {
        const std::int64_t row = first + k * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          const bool leads = at[row + j] == k;
          sum[j] += upstream[row + j];
          out[row + j] = static_cast<T>(leads ? sum[j] : 0);
          sum[j] = leads ? 0 : sum[j];
        }
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::cummax) kernels::cummax{"cummax", cummax_cpu};
constinit decltype(kernels::cummax_backward) kernels::cummax_backward{"cummax_backward", cummax_backward_cpu};
constinit decltype(kernels::scan) kernels::scan{"scan", scan_cpu};
constinit decltype(kernels::cumprod_backward) kernels::cumprod_backward{"cumprod_backward",
                                                                        cumprod_backward_cpu};

}  // namespace karyon
