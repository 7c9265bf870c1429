// Attention, one block for each query (or key). Each thread computes the score of one key of a tile; the tile
// of weights in shared memory then meets the values, a column for each thread. Scores are computed again
// wherever they are needed, so nothing grows with their number.
#include <cmath>

#include <karyon/core/kernels/attention.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/random.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/norm.cuh>
#include <karyon/cuda/scalar.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 128;

/// What all kernels read.
template <class T>
struct AttentionParams {
  std::int64_t queries, keys, size, value_size;
  const T *q, *k, *v;
  const T* added;       // the mask, if it has numbers
  const bool* visible;  // or truth values
  kernels::Attention attention;
  std::uint32_t least;  // of dropout
  float keep;

  __device__ std::int64_t mask_at(std::int64_t n, std::int64_t i, std::int64_t j) const {
    const kernels::MaskLayout& m = attention.mask;
    std::int64_t at = i * m.row + j * m.column;
#pragma unroll 1
    for (int d = m.dims - 1; d >= 0; --d) {
      at += n % m.sizes[d] * m.strides[d];
      n /= m.sizes[d];
    }
    return at;
  }
  __device__ float score(std::int64_t n, std::int64_t i, std::int64_t j) const {
    const T *query = q + (n * queries + i) * size, *key = k + (n * keys + j) * size;
    if (attention.causal && j > i) return -INFINITY;
    if (visible && !visible[mask_at(n, i, j)]) return -INFINITY;
    float sum = 0;
#pragma unroll 1
    for (std::int64_t e = 0; e < size; ++e) sum = fmaf(to_float(query[e]), to_float(key[e]), sum);
    sum *= static_cast<float>(attention.scale);
    return added ? sum + to_float(added[mask_at(n, i, j)]) : sum;
  }
  /// What dropout multiplies a weight with.
  __device__ float factor(std::int64_t n, std::int64_t i, std::int64_t j) const {
    if (attention.dropout == 0) return 1;
    const auto group = static_cast<std::uint64_t>((n * queries + i) * ((keys + 3) / 4) + j / 4);
    const auto words = philox(attention.seed, attention.first + group);
    const auto at = static_cast<std::size_t>(j % 4);
    const std::uint32_t word = at == 0 ? words[0] : at == 1 ? words[1] : at == 2 ? words[2] : words[3];
    return word >> 8 >= least ? keep : 0.0f;
  }
};

struct Larger {
  __device__ float operator()(float a, float b) const { return b > a ? b : a; }
};

/// Every thread gets the value of thread 0.
__device__ inline float from_first(float value) {
  __shared__ float shared;
  if (threadIdx.x == 0) shared = value;
  __syncthreads();
  const float out = shared;
  __syncthreads();
  return out;
}

// The logarithm of the sum of the exponentials of a row's scores; every thread gets it.
template <class T>
__device__ float row_lse(const AttentionParams<T>& p, std::int64_t n, std::int64_t i) {
  float top = -INFINITY, sum = 0;
  for (std::int64_t j = threadIdx.x; j < p.keys; j += threads) {
    const float s = p.score(n, i, j), now = s > top ? s : top, shift = now == -INFINITY ? 0 : now;
    sum = sum * functors::exponential(top - shift) + functors::exponential(s - shift);
    top = now;
  }
  const float largest = from_first(block_reduce<threads>(top, Larger{}));
  const float shift = largest == -INFINITY ? 0 : largest;
  const float total = from_first(block_reduce<threads>(sum * functors::exponential(top - shift), Plus{}));
  return total == 0 ? INFINITY : shift + logf(total);
}

template <class T>
__global__ void __launch_bounds__(threads) attention_forward(AttentionParams<T> p, T* y, float* lse) {
  __shared__ float weights[threads];
  const std::int64_t row = blockIdx.x, n = row / p.queries, i = row % p.queries;
  const float total = row_lse(p, n, i);
  if (threadIdx.x == 0) lse[row] = total;
  for (std::int64_t first = 0; first < p.value_size; first += threads) {
    const std::int64_t c = first + threadIdx.x;
    float sum = 0;
    for (std::int64_t tile = 0; tile < p.keys; tile += threads) {
      const std::int64_t j = tile + threadIdx.x, count = min(std::int64_t{threads}, p.keys - tile);
      if (j < p.keys)
        weights[threadIdx.x] = functors::exponential(p.score(n, i, j) - total) * p.factor(n, i, j);
      __syncthreads();
      if (c < p.value_size)
        for (std::int64_t t = 0; t < count; ++t)
          sum = fmaf(weights[t], to_float(p.v[(n * p.keys + tile + t) * p.value_size + c]), sum);
      __syncthreads();
    }
    if (c < p.value_size) y[row * p.value_size + c] = from_float<T>(sum);
  }
}

/// What backward reads beside.
template <class T>
struct BackwardParams {
  const T *dy, *y;
  const float* lse;
  float* dots;  // dy y, summed over a row

  /// The gradient of score [n, i, j] and the weight as it met the value.
  __device__ void gradients(const AttentionParams<T>& p, std::int64_t n, std::int64_t i, std::int64_t j,
                            float dot, float& gradient, float& weight) const {
    const std::int64_t row = n * p.queries + i;
    const T *upstream = dy + row * p.value_size, *value = p.v + (n * p.keys + j) * p.value_size;
    float sum = 0;
#pragma unroll 1
    for (std::int64_t e = 0; e < p.value_size; ++e)
      sum = fmaf(to_float(upstream[e]), to_float(value[e]), sum);
    const float w = functors::exponential(p.score(n, i, j) - lse[row]), f = p.factor(n, i, j);
    gradient = w * (sum * f - dot);
    weight = w * f;
  }
};

// A row of dq, and of dmask if that is wanted; `dots` is written.
template <class T>
__global__ void __launch_bounds__(threads)
    attention_backward_queries(AttentionParams<T> p, BackwardParams<T> b, T* dq, float* dmask) {
  __shared__ float gradients[threads];
  const std::int64_t row = blockIdx.x, n = row / p.queries, i = row % p.queries;
  float part = 0;
  for (std::int64_t e = threadIdx.x; e < p.value_size; e += threads)
    part = fmaf(to_float(b.dy[row * p.value_size + e]), to_float(b.y[row * p.value_size + e]), part);
  const float dot = from_first(block_reduce<threads>(part, Plus{}));
  if (threadIdx.x == 0) b.dots[row] = dot;
  if (!dq && !dmask) return;
  for (std::int64_t first = 0; first == 0 || first < p.size; first += threads) {
    const std::int64_t c = first + threadIdx.x;
    float sum = 0;
    for (std::int64_t tile = 0; tile < p.keys; tile += threads) {
      const std::int64_t j = tile + threadIdx.x, count = min(std::int64_t{threads}, p.keys - tile);
      if (j < p.keys) {
        float gradient, weight;
        b.gradients(p, n, i, j, dot, gradient, weight);
        if (dmask && first == 0) dmask[row * p.keys + j] = gradient;
        gradients[threadIdx.x] = gradient;
      }
      __syncthreads();
      if (c < p.size)
        for (std::int64_t t = 0; t < count; ++t)
          sum = fmaf(gradients[t], to_float(p.k[(n * p.keys + tile + t) * p.size + c]), sum);
      __syncthreads();
    }
    if (dq && c < p.size) dq[row * p.size + c] = from_float<T>(sum * static_cast<float>(p.attention.scale));
  }
}

// A row of dk and of dv, where they are wanted.
template <class T>
__global__ void __launch_bounds__(threads)
    attention_backward_keys(AttentionParams<T> p, BackwardParams<T> b, T* dk, T* dv) {
  __shared__ float gradients[threads], weights[threads];
  const std::int64_t row = blockIdx.x, n = row / p.keys, j = row % p.keys;
  for (std::int64_t first = 0; first < p.size || first < p.value_size; first += threads) {
    const std::int64_t c = first + threadIdx.x;
    float key = 0, value = 0;
    for (std::int64_t tile = 0; tile < p.queries; tile += threads) {
      const std::int64_t i = tile + threadIdx.x, count = min(std::int64_t{threads}, p.queries - tile);
      if (i < p.queries)
        b.gradients(p, n, i, j, b.dots[n * p.queries + i], gradients[threadIdx.x], weights[threadIdx.x]);
      __syncthreads();
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t query = n * p.queries + tile + t;
        if (c < p.size) key = fmaf(gradients[t], to_float(p.q[query * p.size + c]), key);
        if (c < p.value_size) value = fmaf(weights[t], to_float(b.dy[query * p.value_size + c]), value);
      }
      __syncthreads();
    }
    if (dk && c < p.size) dk[row * p.size + c] = from_float<T>(key * static_cast<float>(p.attention.scale));
    if (dv && c < p.value_size) dv[row * p.value_size + c] = from_float<T>(value);
  }
}

template <class T>
AttentionParams<T> params_of(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                             const kernels::Attention& attention) {
  const bool truth = mask.defined() && mask.dtype() == boolean;
  return {.queries = q.size(1),
          .keys = k.size(1),
          .size = q.size(2),
          .value_size = v.size(2),
          .q = q.data<T>(),
          .k = k.data<T>(),
          .v = v.data<T>(),
          .added = mask.defined() && !truth ? mask.data<T>() : nullptr,
          .visible = truth ? mask.data<bool>() : nullptr,
          .attention = attention,
          .least = static_cast<std::uint32_t>(std::ceil(attention.dropout * 0x1p24)),
          .keep = attention.dropout < 1 ? static_cast<float>(1 / (1 - attention.dropout)) : 0.0f};
}

void attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
               const kernels::Attention& attention, Tensor& y, Tensor& lse) {
  dispatch_stored(q, "attention", [&]<class T>() {
    launch(attention_forward<T>, grid_for(q.size(0) * q.size(1), 1), threads, 0,
           params_of<T>(q, k, v, mask, attention), y.data<T>(), lse.data<float>());
  });
}

void attention_backward(const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& mask, const Tensor& y, const Tensor& lse,
                        const kernels::Attention& attention, Tensor& dq, Tensor& dk, Tensor& dv,
                        Tensor& dmask) {
  const std::int64_t rows = q.size(0) * q.size(1);
  Workspace dots(static_cast<std::size_t>(rows) * sizeof(float));
  dispatch_stored(q, "attention_backward", [&]<class T>() {
    const auto data = [](Tensor& gradient) { return gradient.defined() ? gradient.data<T>() : nullptr; };
    const AttentionParams<T> p = params_of<T>(q, k, v, mask, attention);
    const BackwardParams<T> b{dy.data<T>(), y.data<T>(), lse.data<float>(), dots.data<float>()};
    launch(attention_backward_queries<T>, grid_for(rows, 1), threads, 0, p, b, data(dq), optional(dmask));
    if (dk.defined() || dv.defined())
      launch(attention_backward_keys<T>, grid_for(k.size(0) * k.size(1), 1), threads, 0, p, b, data(dk),
             data(dv));
  });
}

}  // namespace

void register_attention_kernels(KernelTable& table) {
  table.add<decltype(kernels::attention), attention>("attention");
  table.add<decltype(kernels::attention_backward), attention_backward>("attention_backward");
}

}  // namespace karyon::cuda
