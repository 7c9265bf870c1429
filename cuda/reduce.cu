// Sums, products, extremes and softmax over any dimension: see reduce.cuh. Softmax keeps a team's row in
// registers where it fits, and so reads it once.
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/functors/reduce.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

__device__ constexpr float infinity = std::numeric_limits<float>::infinity();

// Whether a wins over b. NaN wins over all others.
template <bool largest>
__device__ bool wins(float a, float b) {
  return a != a || (largest ? a > b : a < b);
}

template <bool largest>
struct Extreme {
  using Acc = float;
  static __device__ float start() { return largest ? -infinity : infinity; }
  static __device__ float add(float acc, float x, std::int64_t) { return wins<largest>(x, acc) ? x : acc; }
  static __device__ float combine(float a, float b) { return add(a, b, 0); }
};
using Max = Extreme<true>;

// The first of those that win.
template <bool largest>
struct Position {
  struct Acc {
    float value;
    std::int64_t index;  // -1: nothing yet
  };
  static __device__ Acc start() { return {0, -1}; }
  static __device__ Acc add(const Acc& a, float x, std::int64_t k) { return combine(a, {x, k}); }
  static __device__ Acc combine(const Acc& a, const Acc& b) {
    if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool equal = a_nan ? b_nan : a.value == b.value;
    const bool first = equal ? a.index < b.index : wins<largest>(a.value, b.value);
    return first ? a : b;
  }
};

struct ScaleSum {
  double scale;
  float* y;
  __device__ void operator()(std::int64_t at, std::int64_t, double sum) const {
    y[at] = static_cast<float>(sum * scale);
  }
};
void sum(double scale, const Tensor& x, Tensor& y) {
  check_f32("sum", x);
  reduce<Sum>(x.size(0), x.size(1), x.size(2), LoadArray<float>{x.data<float>()},
              ScaleSum{scale, y.data<float>()});
}

struct Store {
  float* y;
  template <class Acc>
  __device__ void operator()(std::int64_t at, std::int64_t, Acc value) const {
    y[at] = static_cast<float>(value);
  }
};
void prod(const Tensor& x, Tensor& y) {
  check_f32("prod", x);
  reduce<Product>(x.size(0), x.size(1), x.size(2), LoadArray<float>{x.data<float>()}, Store{y.data<float>()});
}

struct JoinFactors {
  using Acc = functors::Factors;
  static __device__ Acc start() { return Acc::start(); }
  static __device__ Acc add(Acc acc, float x, std::int64_t) {
    acc.add(x);
    return acc;
  }
  static __device__ Acc combine(Acc a, const Acc& b) {
    a.join(b);
    return a;
  }
};
struct StoreFactors {
  functors::Factors* y;
  __device__ void operator()(std::int64_t at, std::int64_t, const functors::Factors& acc) const {
    y[at] = acc;
  }
};
__global__ void __launch_bounds__(map_threads)
    prod_backward_kernel(std::int64_t count, std::int64_t n, std::int64_t inner,
                         const functors::Factors* factors, const float* dy, const float* x, float* dx) {
  const std::int64_t i = std::int64_t{blockIdx.x} * map_threads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t column = i / (n * inner) * inner + i % inner;
  dx[i] = static_cast<float>(dy[column] * factors[column].others(x[i]));
}
void prod_backward(const Tensor& dy, const Tensor& x, Tensor& dx) {
  check_f32("prod_backward", x);
  if (x.numel() == 0) return;
  const std::int64_t n = x.size(1), inner = x.size(2);
  Workspace factors(static_cast<std::size_t>(x.size(0) * inner) * sizeof(functors::Factors));
  auto* numbers = factors.data<functors::Factors>();
  reduce<JoinFactors>(x.size(0), n, inner, LoadArray<float>{x.data<float>()}, StoreFactors{numbers});
  launch(prod_backward_kernel, grid_for(x.numel(), map_threads), map_threads, 0, x.numel(), n, inner, numbers,
         dy.data<float>(), x.data<float>(), dx.data<float>());
}

template <bool largest>
void extremum(const char* name, const Tensor& x, Tensor& y) {
  check_f32(name, x);
  reduce<Extreme<largest>>(x.size(0), x.size(1), x.size(2), LoadArray<float>{x.data<float>()},
                           Store{y.data<float>()});
}
void max(const Tensor& x, Tensor& y) { extremum<true>("max", x, y); }
void min(const Tensor& x, Tensor& y) { extremum<false>("min", x, y); }

struct StoreIndex {
  std::int64_t* y;
  template <class Acc>
  __device__ void operator()(std::int64_t at, std::int64_t, const Acc& best) const {
    y[at] = best.index;
  }
};
template <bool largest>
void position(const char* name, const Tensor& x, Tensor& y) {
  check_f32(name, x);
  reduce<Position<largest>>(x.size(0), x.size(1), x.size(2), LoadArray<float>{x.data<float>()},
                            StoreIndex{y.data<std::int64_t>()});
}
void argmax(const Tensor& x, Tensor& y) { position<true>("argmax", x, y); }
void argmin(const Tensor& x, Tensor& y) { position<false>("argmin", x, y); }

// An infinite top is not subtracted: the sum itself is infinite or 0 then.
struct StoreTop {
  double* y;
  __device__ void operator()(std::int64_t at, std::int64_t, float value) const {
    y[at] = value - value == 0 ? value : 0;
  }
};
struct ExponentialBelow {
  __device__ float operator()(float x, double top) const {
    return functors::exponential(x - static_cast<float>(top));
  }
};
struct StoreLogarithm {
  const double* top;
  float* y;
  __device__ void operator()(std::int64_t at, std::int64_t, double sum) const {
    y[at] = static_cast<float>(::log(sum) + top[at]);
  }
};
void logsumexp(const Tensor& x, Tensor& y) {
  check_f32("logsumexp", x);
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  Workspace tops(static_cast<std::size_t>(outer * inner) * sizeof(double));
  const auto* in = x.data<float>();
  auto* top = tops.data<double>();
  reduce<Max>(outer, n, inner, LoadArray<float>{in}, StoreTop{top});
  reduce<Sum>(outer, n, inner, LoadBeside<ExponentialBelow>{in, top, n, inner, {}},
              StoreLogarithm{top, y.data<float>()});
}

void reduce_backward(kernels::Slope slope, double p, const Tensor& x, const Tensor& y, const Tensor& dy,
                     Tensor& dx) {
  check_f32("reduce_backward", x);
  functors::visit(slope, p,
                  [&](auto f) { map<float>(f, dx, Input<float>{x}, Input<float>{y}, Input<float>{dy}); });
}

constexpr int most_kept = 8;  // elements of a row that each thread of its team keeps

struct MaxOf {
  __device__ float operator()(float a, float b) const { return Max::combine(a, b); }
};

// Kept: a thread's part of its row is at most most_kept elements.
template <bool kept>
__global__ void __launch_bounds__(reduce_threads)
    softmax_kernel(Teams teams, bool log, const float* x, float* y) {
  __shared__ double shared[reduce_threads];
  std::int64_t o, column;
  const bool mine = teams.locate(o, column);
  const std::int64_t first = (o * teams.n + teams.row()) * teams.inner + column;
  const std::int64_t step = teams.rows() * teams.inner;
  const std::int64_t count = mine ? (teams.n - teams.row() + teams.rows() - 1) / teams.rows() : 0;
  float values[most_kept];
  float top = -infinity;
  if constexpr (kept) {
#pragma unroll
    for (int k = 0; k < most_kept; ++k)
      if (k < count) top = Max::combine(top, values[k] = x[first + k * step]);
  } else {
    for (std::int64_t k = 0; k < count; ++k) top = Max::combine(top, x[first + k * step]);
  }
  top = teams.all(reinterpret_cast<float*>(shared), top, MaxOf{});
  double total = 0;
  if constexpr (kept) {
#pragma unroll
    for (int k = 0; k < most_kept; ++k)
      if (k < count) total += functors::exponential(values[k] - top);
  } else {
    for (std::int64_t k = 0; k < count; ++k) total += functors::exponential(x[first + k * step] - top);
  }
  total = teams.all(shared, total, Plus{});
  const float shift = static_cast<float>(::log(total)), scale = static_cast<float>(1 / total);
  auto result = [&](float v) { return log ? v - top - shift : functors::exponential(v - top) * scale; };
  if constexpr (kept) {
#pragma unroll
    for (int k = 0; k < most_kept; ++k)
      if (k < count) y[first + k * step] = result(values[k]);
  } else {
    for (std::int64_t k = 0; k < count; ++k) y[first + k * step] = result(x[first + k * step]);
  }
}

void softmax(bool log, const Tensor& x, Tensor& y) {
  check_f32("softmax", x);
  if (x.numel() == 0) return;
  const Teams teams(x.size(0), x.size(1), x.size(2));
  const bool kept = teams.n <= std::int64_t{most_kept} << teams.row_bits;
  launch(kept ? softmax_kernel<true> : softmax_kernel<false>, grid_for(teams.blocks(), 1), reduce_threads, 0,
         teams, log, x.data<float>(), y.data<float>());
}

// softmax: dx = y (dy - sum(y dy)); log_softmax: dx = dy - exp(y) sum(dy).
template <bool kept>
__global__ void __launch_bounds__(reduce_threads)
    softmax_backward_kernel(Teams teams, bool log, const float* dy, const float* y, float* dx) {
  __shared__ double shared[reduce_threads];
  std::int64_t o, column;
  const bool mine = teams.locate(o, column);
  const std::int64_t first = (o * teams.n + teams.row()) * teams.inner + column;
  const std::int64_t step = teams.rows() * teams.inner;
  const std::int64_t count = mine ? (teams.n - teams.row() + teams.rows() - 1) / teams.rows() : 0;
  float g[most_kept], v[most_kept];
  double sum = 0;
  if constexpr (kept) {
#pragma unroll
    for (int k = 0; k < most_kept; ++k)
      if (k < count) {
        g[k] = dy[first + k * step];
        v[k] = y[first + k * step];
        sum += log ? g[k] : v[k] * g[k];
      }
  } else {
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t i = first + k * step;
      sum += log ? dy[i] : y[i] * dy[i];
    }
  }
  const float total = static_cast<float>(teams.all(shared, sum, Plus{}));
  auto result = [&](float grad, float value) {
    return log ? grad - functors::exponential(value) * total : value * (grad - total);
  };
  if constexpr (kept) {
#pragma unroll
    for (int k = 0; k < most_kept; ++k)
      if (k < count) dx[first + k * step] = result(g[k], v[k]);
  } else {
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t i = first + k * step;
      dx[i] = result(dy[i], y[i]);
    }
  }
}

void softmax_backward(bool log, const Tensor& dy, const Tensor& y, Tensor& dx) {
  check_f32("softmax_backward", dy);
  if (dy.numel() == 0) return;
  const Teams teams(dy.size(0), dy.size(1), dy.size(2));
  const bool kept = teams.n <= std::int64_t{most_kept} << teams.row_bits;
  launch(kept ? softmax_backward_kernel<true> : softmax_backward_kernel<false>, grid_for(teams.blocks(), 1),
         reduce_threads, 0, teams, log, dy.data<float>(), y.data<float>(), dx.data<float>());
}

}  // namespace

void register_reduce_kernels(KernelTable& table) {
  table.add<decltype(kernels::sum), sum>("sum");
  table.add<decltype(kernels::prod), prod>("prod");
  table.add<decltype(kernels::prod_backward), prod_backward>("prod_backward");
  table.add<decltype(kernels::max), max>("max");
  table.add<decltype(kernels::min), min>("min");
  table.add<decltype(kernels::argmax), argmax>("argmax");
  table.add<decltype(kernels::argmin), argmin>("argmin");
  table.add<decltype(kernels::logsumexp), logsumexp>("logsumexp");
  table.add<decltype(kernels::reduce_backward), reduce_backward>("reduce_backward");
  table.add<decltype(kernels::softmax), softmax>("softmax");
  table.add<decltype(kernels::softmax_backward), softmax_backward>("softmax_backward");
}

}  // namespace karyon::cuda
