// Sums, products, extremes, softmax and what goes with them: reduce.h has the loops.
#include <karyon/core/cpu/reduce.h>
#include <karyon/core/kernels/functors/reduce.h>
#include <karyon/core/kernels/reduce.h>

namespace karyon {
namespace {

using cpu::Computed;
using cpu::for_tiles;
using cpu::Max;
using cpu::Min;
using cpu::reduce_columns;
using cpu::reduce_grain;
using cpu::reduce_run;
using cpu::Stored;
using cpu::Sum;
using cpu::tile;

// Floating results are `scale` times the total, in double; whole numbers are reduced as i64.
template <template <class> class Op>
void reduce_numbers(double scale, const Tensor& x, Tensor& y) {
  dispatch_kernel_dtype(x.dtype(), "sum", [&]<class T>() {
    using Value = Computed<T>;
    if constexpr (std::is_floating_point_v<Value>) {
      cpu::reduce<Op<Value>, T, Value>(x, y, [scale](double acc) { return static_cast<Value>(acc * scale); });
    } else {
      check(scale == 1, "sum: whole numbers are not scaled");
      cpu::reduce<Op<std::int64_t>, T, std::int64_t>(
          x, y, [](std::uint64_t acc) { return static_cast<std::int64_t>(acc); });
    }
  });
}
void sum_cpu(double scale, const Tensor& x, Tensor& y) { reduce_numbers<Sum>(scale, x, y); }
void prod_cpu(const Tensor& x, Tensor& y) { reduce_numbers<cpu::Product>(1, x, y); }

void prod_backward_cpu(const Tensor& dy, const Tensor& x, Tensor& dx) {
  if (x.numel() == 0) return;
  dispatch_floating(x.dtype(), "prod_backward", [&]<class T>() {
    const T *in = x.data<T>(), *upstream = dy.data<T>();
    T* out = dx.data<T>();
    const std::int64_t n = x.size(1), inner = x.size(2);
    for_tiles(x, [&](std::int64_t first, std::int64_t width) {
      functors::Factors factors[tile];
      std::fill(factors, factors + width, functors::Factors::start());
      const T* g = upstream + first / (n * inner) * inner + first % inner;
      for (std::int64_t k = 0; k < n; ++k)
        for (std::int64_t j = 0; j < width; ++j) factors[j].add(in[first + k * inner + j]);
      for (std::int64_t k = 0; k < n; ++k)
        for (std::int64_t j = 0; j < width; ++j) {
          const std::int64_t at = first + k * inner + j;
          out[at] = static_cast<T>(g[j] * factors[j].others(in[at]));
        }
    });
  });
}

template <template <class> class Op>
void extremum(const Tensor& x, Tensor& y) {
  dispatch_kernel_dtype(x.dtype(), "max", [&]<class T>() {
    using Value = Computed<Stored<T>>;
    using Out = Computed<T>;
    cpu::reduce<Op<Value>, T, Out>(x, y, [](Value acc) { return static_cast<Out>(acc); });
  });
}
void max_cpu(const Tensor& x, Tensor& y) { extremum<Max>(x, y); }
void min_cpu(const Tensor& x, Tensor& y) { extremum<Min>(x, y); }

// better(a, b): a wins over b, which comes before it.
template <class Better>
void position(const Tensor& x, Tensor& y, Better better) {
  dispatch_kernel_dtype(x.dtype(), "argmax", [&]<class T>() {
    using Value = Computed<Stored<T>>;
    const Stored<T>* in = cpu::Input<T>{x}.data();
    auto* out = y.data<std::int64_t>();
    const std::int64_t n = x.size(1), inner = x.size(2);
    for_tiles(x, [&](std::int64_t first, std::int64_t width) {
      const Stored<T>* from = in + first;
      std::int64_t* best = out + first / (n * inner) * inner + first % inner;
      if (inner == 1) {
        *best = 0;
        for (std::int64_t k = 1; k < n; ++k)
          if (better(static_cast<Value>(from[k]), static_cast<Value>(from[*best]))) *best = k;
        return;
      }
      Value value[tile];
      for (std::int64_t j = 0; j < width; ++j) value[j] = static_cast<Value>(from[j]);
      std::fill(best, best + width, 0);
      for (std::int64_t k = 1; k < n; ++k) {
        const Stored<T>* row = from + k * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          const auto candidate = static_cast<Value>(row[j]);
          const bool wins = better(candidate, value[j]);
          value[j] = wins ? candidate : value[j];
          best[j] = wins ? k : best[j];
        }
      }
    });
  });
}

// NaN wins over all others.
void argmax_cpu(const Tensor& x, Tensor& y) {
  position(x, y, [](auto a, auto b) { return a > b || (a != a && b == b); });
}
void argmin_cpu(const Tensor& x, Tensor& y) {
  position(x, y, [](auto a, auto b) { return a < b || (a != a && b == b); });
}

void logsumexp_cpu(const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), "logsumexp", [&]<class T>() {
    Tensor top = empty(y.shape(), {.dtype = f64}), total = empty(y.shape(), {.dtype = f64});
    // An infinite top is not subtracted: the sum itself is infinite or 0 then.
    cpu::reduce<Max<T>, T, double>(
        x, top, [](T value) { return std::isfinite(value) ? static_cast<double>(value) : 0.0; });
    const double* tops = std::as_const(top).data<double>();
    cpu::reduce<Sum<T>, T, double>(
        x, total, [](double sum) { return sum; },
        cpu::Beside{[](T v, double t) { return functors::exponential(v - static_cast<T>(t)); }, tops});
    cpu::map<T>([](double sum, double t) { return std::log(sum) + t; }, y, cpu::Input<double>{total},
                cpu::Input<double>{top});
  });
}

void reduce_backward_cpu(kernels::Slope slope, double p, const Tensor& x, const Tensor& y, const Tensor& dy,
                         Tensor& dx) {
  dispatch_floating(x.dtype(), "reduce_backward", [&]<class T>() {
    functors::visit(
        slope, p, [&](auto f) { cpu::map<T>(f, dx, cpu::Input<T>{x}, cpu::Input<T>{y}, cpu::Input<T>{dy}); });
  });
}

// One contiguous row.
template <class T>
void softmax_row(bool log, const T* x, std::int64_t n, T* y) {
  const T top = reduce_run<Max<T>>(x, n);
  for (std::int64_t i = 0; i < n; ++i) y[i] = functors::exponential(x[i] - top);
  const double total = reduce_run<Sum<T>>(y, n);
  if (log) {
    const T shift = static_cast<T>(std::log(total));
    for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] - top - shift;
  } else {
    const T scale = static_cast<T>(1 / total);
    for (std::int64_t i = 0; i < n; ++i) y[i] *= scale;
  }
}

// `width` columns side by side, rows `stride` apart.
template <class T>
void softmax_columns(bool log, const T* x, std::int64_t n, std::int64_t stride, std::int64_t width, T* y) {
  T top[tile], scale[tile];
  double total[tile];
  reduce_columns<Max<T>>(x, n, stride, width, top);
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j < width; ++j)
      y[k * stride + j] = functors::exponential(x[k * stride + j] - top[j]);
  reduce_columns<Sum<T>>(y, n, stride, width, total);
  for (std::int64_t j = 0; j < width; ++j) scale[j] = static_cast<T>(log ? std::log(total[j]) : 1 / total[j]);
  for (std::int64_t k = 0; k < n; ++k) {
    const T* in = x + k * stride;
    T* out = y + k * stride;
    if (log) {
      for (std::int64_t j = 0; j < width; ++j) out[j] = in[j] - top[j] - scale[j];
    } else {
      for (std::int64_t j = 0; j < width; ++j) out[j] *= scale[j];
    }
  }
}

void softmax_cpu(bool log, const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), "softmax", [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const std::int64_t n = x.size(1), inner = x.size(2);
    if (inner == 1) {
      parallel_for(x.size(0), std::max<std::int64_t>(reduce_grain / std::max<std::int64_t>(n, 1), 1),
                   [&](std::int64_t b, std::int64_t e) {
                     cpu::vectorized([=] {
                       for (std::int64_t row = b; row < e; ++row)
                         softmax_row(log, in + row * n, n, out + row * n);
                     });
                   });
      return;
    }
    for_tiles(x, [&](std::int64_t first, std::int64_t width) {
      cpu::vectorized([=] { softmax_columns(log, in + first, n, inner, width, out + first); });
    });
  });
}

// softmax: dx = y (dy - sum(y dy)); log_softmax: dx = dy - exp(y) sum(dy).
template <bool log, class T>
void softmax_backward_typed(const Tensor& dy, const Tensor& y, Tensor& dx) {
  const T *grad = dy.data<T>(), *value = y.data<T>();
  T* out = dx.data<T>();
  const std::int64_t n = dy.size(1), inner = dy.size(2);
  auto formula = [](T g, T v, T total) {
    return log ? g - functors::exponential(v) * total : v * (g - total);
  };
  for_tiles(dy, [&](std::int64_t first, std::int64_t width) {
    const T *g = grad + first, *v = value + first, *summed = g;
    T* d = out + first;
    if (inner == 1) {
      if (!log) {
        for (std::int64_t i = 0; i < n; ++i) d[i] = v[i] * g[i];
        summed = d;
      }
      const T total = static_cast<T>(reduce_run<Sum<T>>(summed, n));
      for (std::int64_t i = 0; i < n; ++i) d[i] = formula(g[i], v[i], total);
      return;
    }
    if (!log) {
      for (std::int64_t k = 0; k < n; ++k)
        for (std::int64_t j = k * inner; j < k * inner + width; ++j) d[j] = v[j] * g[j];
      summed = d;
    }
    double acc[tile];
    T total[tile];
    reduce_columns<Sum<T>>(summed, n, inner, width, acc);
    std::copy(acc, acc + width, total);
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t j = 0; j < width; ++j)
        d[k * inner + j] = formula(g[k * inner + j], v[k * inner + j], total[j]);
  });
}

void softmax_backward_cpu(bool log, const Tensor& dy, const Tensor& y, Tensor& dx) {
  dispatch_floating(dy.dtype(), "softmax_backward", [&]<class T>() {
    log ? softmax_backward_typed<true, T>(dy, y, dx) : softmax_backward_typed<false, T>(dy, y, dx);
  });
}

}  // namespace

constinit decltype(kernels::sum) kernels::sum{"sum", sum_cpu};
constinit decltype(kernels::prod) kernels::prod{"prod", prod_cpu};
constinit decltype(kernels::prod_backward) kernels::prod_backward{"prod_backward", prod_backward_cpu};
constinit decltype(kernels::max) kernels::max{"max", max_cpu};
constinit decltype(kernels::min) kernels::min{"min", min_cpu};
constinit decltype(kernels::argmax) kernels::argmax{"argmax", argmax_cpu};
constinit decltype(kernels::argmin) kernels::argmin{"argmin", argmin_cpu};
constinit decltype(kernels::logsumexp) kernels::logsumexp{"logsumexp", logsumexp_cpu};
constinit decltype(kernels::reduce_backward) kernels::reduce_backward{"reduce_backward", reduce_backward_cpu};
constinit decltype(kernels::softmax) kernels::softmax{"softmax", softmax_cpu};
constinit decltype(kernels::softmax_backward) kernels::softmax_backward{"softmax_backward",
                                                                        softmax_backward_cpu};

}  // namespace karyon
