// Reductions of [outer, n, inner] over n. The one idea: whatever the shape, the inner loop runs along
// contiguous elements into an array of accumulators. Where `inner` is short, several rows together make one
// long row, folded at the end. Work is cut by shape alone, so the bits do not depend on the number of
// threads.
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/core/parallel.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

namespace karyon {
namespace {

constexpr std::int64_t grain = 32768;
constexpr std::int64_t tile = 512;       // accumulators
constexpr std::int64_t short_row = 64;   // below this, rows are joined
constexpr std::int64_t max_chunks = 64;  // that one long reduction is cut into

using cpu::Computed;
using cpu::Stored;

// Elements are converted to Value as they are read, and reduced in Acc.
template <class T>
struct Sum {
  using Value = T;
  using Acc = double;
  static constexpr Acc start = 0;
  static Acc add(Acc acc, T x) { return acc + static_cast<Acc>(x); }
  static Acc combine(Acc a, Acc b) { return a + b; }
};
template <>
struct Sum<std::int64_t> {
  using Value = std::int64_t;
  using Acc = std::uint64_t;  // wraps
  static constexpr Acc start = 0;
  static Acc add(Acc acc, std::int64_t x) { return acc + static_cast<Acc>(x); }
  static Acc combine(Acc a, Acc b) { return a + b; }
};

template <class T>
struct Max {
  using Value = T;
  using Acc = T;
  static constexpr Acc start = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                                    : std::numeric_limits<T>::lowest();
  static Acc add(Acc acc, T x) { return x > acc || x != x ? x : acc; }
  static Acc combine(Acc a, Acc b) { return add(a, b); }
};

// acc[0, width) over `rows` rows that lie `stride` apart.
template <class Op, class T>
void reduce_rows(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width,
                 typename Op::Acc* acc) {
  for (std::int64_t r = 0; r < rows; ++r, x += stride)
    for (std::int64_t j = 0; j < width; ++j) acc[j] = Op::add(acc[j], static_cast<typename Op::Value>(x[j]));
}

// The same, starting acc; acc has room for `tile`.
template <class Op, class T>
void reduce_columns(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width,
                    typename Op::Acc* acc) {
  if (width == 1 && rows < short_row / 2) {
    auto only = Op::start;
    for (std::int64_t r = 0; r < rows; ++r)
      only = Op::add(only, static_cast<typename Op::Value>(x[r * stride]));
    *acc = only;
    return;
  }
  const bool join = width == stride && width < short_row && rows > 0;
  const auto joined = join ? static_cast<std::int64_t>(std::bit_floor(
                                 static_cast<std::uint64_t>(std::min(short_row / width, rows))))
                           : 1;
  const std::int64_t wide = joined * width, times = rows / joined;
  std::fill(acc, acc + wide, Op::start);
  reduce_rows<Op>(x, times, joined * stride, wide, acc);
  // Adds halves until one row remains; `joined` is a power of two.
  for (std::int64_t half = wide / 2; half >= width; half /= 2)
    for (std::int64_t j = 0; j < half; ++j) acc[j] = Op::combine(acc[j], acc[j + half]);
  reduce_rows<Op>(x + times * joined * stride, rows - times * joined, stride, width, acc);
}

// All elements of a contiguous run.
template <class Op, class T>
typename Op::Acc reduce_run(const T* x, std::int64_t n) {
  typename Op::Acc acc[short_row];
  reduce_columns<Op>(x, n, 1, 1, acc);
  return acc[0];
}

// y [outer, inner] = finish(reduction of x [outer, n, inner]).
template <class Op, class In, class Out, class Finish>
void reduce(const Tensor& x, Tensor& y, Finish finish) {
  using Acc = typename Op::Acc;
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  if (outer == 0 || inner == 0) return;
  const Stored<In>* in = cpu::Input<In>{x}.data();
  Out* out = y.data<Out>();
  const std::int64_t tiles = cpu::ceil_div(inner, tile), units = outer * tiles;
  const std::int64_t width = std::min(inner, tile);

  // Few long reductions are also cut along n; their parts are joined in order.
  const std::int64_t wanted =
      units >= max_chunks ? 1 : std::clamp<std::int64_t>(n * width / grain, 1, max_chunks);
  const std::int64_t rows = std::max<std::int64_t>(cpu::ceil_div(n, wanted), 1);
  const std::int64_t chunks = std::max<std::int64_t>(cpu::ceil_div(n, rows), 1);
  std::vector<Acc> parts(static_cast<std::size_t>(chunks > 1 ? units * chunks * width : 0));

  parallel_for(
      units * chunks, std::max<std::int64_t>(grain / (rows * width), 1), [&](std::int64_t b, std::int64_t e) {
        Acc acc[tile];
        for (std::int64_t i = b; i < e; ++i) {
          const std::int64_t unit = i / chunks, chunk = i % chunks;
          const std::int64_t o = unit / tiles, column = unit % tiles * tile, row = chunk * rows;
          const std::int64_t w = std::min(tile, inner - column);
          reduce_columns<Op>(in + (o * n + row) * inner + column, std::min(rows, n - row), inner, w, acc);
          if (chunks > 1) {
            std::copy(acc, acc + w, parts.data() + i * width);
          } else {
            for (std::int64_t j = 0; j < w; ++j) out[o * inner + column + j] = finish(acc[j]);
          }
        }
      });
  if (chunks == 1) return;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    const std::int64_t o = unit / tiles, column = unit % tiles * tile, w = std::min(tile, inner - column);
    Acc* acc = parts.data() + unit * chunks * width;
    for (std::int64_t c = 1; c < chunks; ++c)
      for (std::int64_t j = 0; j < w; ++j) acc[j] = Op::combine(acc[j], acc[c * width + j]);
    for (std::int64_t j = 0; j < w; ++j) out[o * inner + column + j] = finish(acc[j]);
  }
}

void sum_cpu(double scale, const Tensor& x, Tensor& y) {
  dispatch_all(x.dtype(), [&]<class T>() {
    using Value = Computed<T>;
    if constexpr (std::is_floating_point_v<Value>) {
      reduce<Sum<Value>, T, Value>(x, y, [scale](double acc) { return static_cast<Value>(acc * scale); });
    } else {
      check(scale == 1, "sum: whole numbers are not scaled");
      reduce<Sum<std::int64_t>, T, std::int64_t>(
          x, y, [](std::uint64_t acc) { return static_cast<std::int64_t>(acc); });
    }
  });
}

void max_cpu(const Tensor& x, Tensor& y) {
  dispatch_all(x.dtype(), [&]<class T>() {
    using Value = Computed<Stored<T>>;
    using Out = Computed<T>;
    reduce<Max<Value>, T, Out>(x, y, [](Value acc) { return static_cast<Out>(acc); });
  });
}

// Calls body(first element, width) for every tile of columns of x [outer, n, inner].
template <class F>
void for_tiles(const Tensor& x, F&& body) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  const std::int64_t tiles = cpu::ceil_div(inner, tile);
  const std::int64_t cost = std::max<std::int64_t>(n * std::min(inner, tile), 1);
  parallel_for(outer * tiles, std::max<std::int64_t>(grain / cost, 1), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t column = i % tiles * tile;
      body(i / tiles * n * inner + column, std::min(tile, inner - column));
    }
  });
}

// NaN is the largest of all.
template <class T>
bool larger(T a, T b) {
  return a > b || (a != a && b == b);
}

void argmax_cpu(const Tensor& x, Tensor& y) {
  dispatch_all(x.dtype(), [&]<class T>() {
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
          if (larger(static_cast<Value>(from[k]), static_cast<Value>(from[*best]))) *best = k;
        return;
      }
      Value value[tile];
      for (std::int64_t j = 0; j < width; ++j) value[j] = static_cast<Value>(from[j]);
      std::fill(best, best + width, 0);
      for (std::int64_t k = 1; k < n; ++k) {
        const Stored<T>* row = from + k * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          const auto candidate = static_cast<Value>(row[j]);
          const bool better = larger(candidate, value[j]);
          value[j] = better ? candidate : value[j];
          best[j] = better ? k : best[j];
        }
      }
    });
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
      parallel_for(x.size(0), std::max<std::int64_t>(grain / std::max<std::int64_t>(n, 1), 1),
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
constinit decltype(kernels::max) kernels::max{"max", max_cpu};
constinit decltype(kernels::argmax) kernels::argmax{"argmax", argmax_cpu};
constinit decltype(kernels::softmax) kernels::softmax{"softmax", softmax_cpu};
constinit decltype(kernels::softmax_backward) kernels::softmax_backward{"softmax_backward",
                                                                        softmax_backward_cpu};

}  // namespace karyon
