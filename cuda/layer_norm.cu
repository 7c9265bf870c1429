// Layer normalization and, without means, RMS normalization: each row has a warp (a block, if long) and is
// read again from the cache.
#include <cmath>

#include <karyon/core/kernels/norm.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/columns.cuh>
#include <karyon/cuda/norm.cuh>

namespace karyon::cuda {
namespace {

/// Every thread of the warp, or of the block if it is one of 256 threads for one row, gets the sum.
template <int threads>
__device__ inline float row_sum(float value) {
  if constexpr (threads == warp_size) {
    return warp_reduce(value, Plus{});
  } else {
    __shared__ float total;
    value = block_reduce<threads>(value, Plus{});
    if (threadIdx.x == 0) total = value;
    __syncthreads();
    const float out = total;
    __syncthreads();
    return out;
  }
}

/// `threads` threads for each row of d values.
template <int threads, int V, class T>
__global__ void __launch_bounds__(column_threads)
    normalize_rows(const T* x, const float* weight, const float* bias, double eps, std::int64_t rows,
                   std::int64_t d, T* y, float* mean, float* rstd) {
  const std::int64_t row = (std::int64_t{blockIdx.x} * column_threads + threadIdx.x) / threads;
  if (row >= rows) return;
  const std::int64_t first = threadIdx.x % threads * V, step = threads * V;
  const T* from = x + row * d;
  float sum = 0;
  for (std::int64_t k = first; mean && k < d; k += step) {
    float v[V];
    load_vector<T, V>(from + k, v);
#pragma unroll
    for (int i = 0; i < V; ++i) sum += v[i];
  }
  const auto n = static_cast<float>(d);
  const float m = mean ? row_sum<threads>(sum) / n : 0;
  sum = 0;
  for (std::int64_t k = first; k < d; k += step) {
    float v[V];
    load_vector<T, V>(from + k, v);
#pragma unroll
    for (int i = 0; i < V; ++i) sum = fmaf(v[i] - m, v[i] - m, sum);
  }
  const auto r =
      static_cast<float>(1 / sqrt(static_cast<double>(row_sum<threads>(sum)) / static_cast<double>(d) + eps));
  if (threadIdx.x % threads == 0) {
    if (mean) mean[row] = m;
    rstd[row] = r;
  }
  for (std::int64_t k = first; k < d; k += step) {
    float v[V];
    load_vector<T, V>(from + k, v);
#pragma unroll
    for (int i = 0; i < V; ++i) v[i] = (v[i] - m) * r;
    float factor[V], shift[V];
    if (weight) {
      load_vector<float, V>(weight + k, factor);
#pragma unroll
      for (int i = 0; i < V; ++i) v[i] *= factor[i];
    }
    if (bias) {
      load_vector<float, V>(bias + k, shift);
#pragma unroll
      for (int i = 0; i < V; ++i) v[i] += shift[i];
    }
    store_vector<T, V>(y + row * d + k, v);
  }
}

template <int threads, int V, class T>
__global__ void __launch_bounds__(column_threads)
    normalize_rows_backward(const T* dy, const T* x, const float* weight, const float* mean,
                            const float* rstd, std::int64_t rows, std::int64_t d, T* dx) {
  const std::int64_t row = (std::int64_t{blockIdx.x} * column_threads + threadIdx.x) / threads;
  if (row >= rows) return;
  const std::int64_t first = threadIdx.x % threads * V, step = threads * V, top = row * d;
  const float m = mean ? mean[row] : 0, r = rstd[row];
  // w dy and (x - m) r at k.
  auto fetch = [&](std::int64_t k, float(&g)[V], float(&v)[V]) {
    load_vector<T, V>(dy + top + k, g);
    load_vector<T, V>(x + top + k, v);
    float factor[V];
    if (weight) load_vector<float, V>(weight + k, factor);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (weight) g[i] *= factor[i];
      v[i] = (v[i] - m) * r;
    }
  };
  float sum = 0, sum_x = 0;
  for (std::int64_t k = first; k < d; k += step) {
    float g[V], v[V];
    fetch(k, g, v);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      sum += g[i];
      sum_x = fmaf(g[i], v[i], sum_x);
    }
  }
  const auto n = static_cast<float>(d);
  const float a = mean ? row_sum<threads>(sum) / n : 0, b = row_sum<threads>(sum_x) / n;
  for (std::int64_t k = first; k < d; k += step) {
    float g[V], v[V];
    fetch(k, g, v);
#pragma unroll
    for (int i = 0; i < V; ++i) g[i] = r * (g[i] - a - v[i] * b);
    store_vector<T, V>(dx + top + k, g);
  }
}

template <class T>
struct RowGradientParams {
  const T *dy, *x;
  const float *mean, *rstd;
};

/// Sums of dy (x - mean) rstd and of dy, where mean and rstd belong to the row.
template <class T>
struct RowGradientSums {
  template <int V>
  class Of {
   public:
    using Params = RowGradientParams<T>;
    __device__ Of(const Params& p, std::int64_t, int) : p_(p) {}
    __device__ void operator()(std::int64_t at, std::int64_t row, float (&product)[V], float (&d)[V]) const {
      load_vector<T, V>(p_.dy + at, d);
      load_vector<T, V>(p_.x + at, product);
      const float m = p_.mean ? p_.mean[row] : 0, r = p_.rstd[row];
#pragma unroll
      for (int i = 0; i < V; ++i) product[i] = d[i] * ((product[i] - m) * r);
    }

   private:
    const Params& p_;
  };
};

constexpr std::int64_t long_row = 2048;  // from here on a row has a block

void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = rstd.numel();
  if (rows == 0) return;
  const std::int64_t d = x.numel() / rows;
  const bool vectors = d % 4 == 0 && whole_vectors(x, y, weight, bias), block = d >= long_row;
  dispatch_stored(x, "layer_norm", [&]<class T>() {
    const auto run =
        block ? (vectors ? normalize_rows<column_threads, 4, T> : normalize_rows<column_threads, 1, T>)
              : (vectors ? normalize_rows<warp_size, 4, T> : normalize_rows<warp_size, 1, T>);
    launch(run, grid_for(rows, block ? 1 : column_threads / warp_size), column_threads, 0, x.data<T>(),
           optional(weight), optional(bias), eps, rows, d, y.data<T>(), optional(mean), rstd.data<float>());
  });
}

void layer_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  if (x.numel() == 0) {
    zero(dweight);
    zero(dbias);
    return;
  }
  const std::int64_t rows = rstd.numel(), d = x.numel() / rows;
  dispatch_stored(x, "layer_norm_backward", [&]<class T>() {
    if (dx.defined()) {
      const bool vectors = d % 4 == 0 && whole_vectors(dy, x, dx, weight), block = d >= long_row;
      const auto run = block ? (vectors ? normalize_rows_backward<column_threads, 4, T>
                                        : normalize_rows_backward<column_threads, 1, T>)
                             : (vectors ? normalize_rows_backward<warp_size, 4, T>
                                        : normalize_rows_backward<warp_size, 1, T>);
      launch(run, grid_for(rows, block ? 1 : column_threads / warp_size), column_threads, 0, dy.data<T>(),
             x.data<T>(), optional(weight), optional(mean), rstd.data<float>(), rows, d, dx.data<T>());
    }
    if (!dweight.defined() && !dbias.defined()) return;
    const ColumnGrid g(1, rows, d, whole_vectors(dy, x), 32);
    Workspace sums(column_sums_bytes(g));
    launch_column_sums<RowGradientSums<T>::template Of>(
        g, {dy.data<T>(), x.data<T>(), optional(mean), rstd.data<float>()}, sums.data<double>());
    launch(join_column_sums<float>, grid_for(d, column_threads), column_threads, 0, sums.data<double>(),
           g.images * g.chunks, g.columns, optional(dweight), optional(dbias));
  });
}

}  // namespace

void register_layer_norm_kernels(KernelTable& table) {
  table.add<decltype(kernels::layer_norm), layer_norm>("layer_norm");
  table.add<decltype(kernels::layer_norm_backward), layer_norm_backward>("layer_norm_backward");
}

}  // namespace karyon::cuda
