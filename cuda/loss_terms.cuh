// What losses share: their terms are computed in f32 and summed in double, in a fixed order (reduce.cuh).
#pragma once
#include <karyon/core/kernels/loss.h>
#include <karyon/cuda/map.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {

inline constexpr int loss_threads = 256;
inline constexpr int loss_per_thread = 4;

template <class F>
struct PairTerm {
  F f;
  const float *x, *t;
  __device__ float operator()(std::int64_t i) const { return f(x[i], t[i]); }
  __device__ float grad(float dy, std::int64_t i) const { return f.grad(dy, x[i], t[i]); }
};

// f(i) for i = 0, ..., n - 1; a block's threads are neighbours in each round.
template <class F>
__global__ void __launch_bounds__(loss_threads) for_each_kernel(std::int64_t n, F f) {
  const std::int64_t first = std::int64_t{blockIdx.x} * loss_threads * loss_per_thread + threadIdx.x;
#pragma unroll
  for (int k = 0; k < loss_per_thread; ++k)
    if (first + k * loss_threads < n) f(first + k * loss_threads);
}
template <class F>
void for_each(std::int64_t n, F f) {
  launch(for_each_kernel<F>, grid_for(n, loss_threads * loss_per_thread), loss_threads, 0, n, f);
}

template <class Term>
struct StoreTerm {
  Term term;
  float* out;
  __device__ void operator()(std::int64_t i) const { out[i] = term(i); }
};
struct StoreLoss {
  float* out;
  double count;
  __device__ void operator()(std::int64_t, std::int64_t, double sum) const {
    *out = static_cast<float>(sum / count);
  }
};

// out = the terms, or their sum, or their mean.
template <class Term>
void reduce_terms(std::int64_t n, Reduction reduction, Tensor& out, const Term& term) {
  float* to = out.data<float>();
  if (reduction == Reduction::none) return for_each(n, StoreTerm<Term>{term, to});
  reduce<Sum>(1, n, 1, term, StoreLoss{to, reduction == Reduction::mean ? static_cast<double>(n) : 1.0});
}

// The upstream gradient of each term: its own, or the shared one over `count`.
struct Upstream {
  const float* dy;
  bool shared;
  double count;

  Upstream(const Tensor& dy, Reduction reduction, std::int64_t n)
      : dy(dy.data<float>()),
        shared(reduction != Reduction::none),
        count(reduction == Reduction::mean ? static_cast<double>(n) : 1.0) {}
  __device__ float operator[](std::int64_t i) const {
    return shared ? static_cast<float>(static_cast<double>(*dy) / count) : dy[i];
  }
};

template <class Term>
struct StoreGradient {
  Term term;
  Upstream upstream;
  float* dx;
  __device__ void operator()(std::int64_t i) const { dx[i] = term.grad(upstream[i], i); }
};
template <class Term>
void write_gradients(const Tensor& dy, Reduction reduction, Tensor& dx, const Term& term) {
  const std::int64_t n = dx.numel();
  for_each(n, StoreGradient<Term>{term, Upstream(dy, reduction, n), dx.data<float>()});
}

template <class F>
void pair_loss(const char* op, F f, const Tensor& input, const Tensor& target, Reduction reduction,
               Tensor& out) {
  check_f32(op, input);
  reduce_terms(input.numel(), reduction, out, PairTerm<F>{f, input.data<float>(), target.data<float>()});
}
template <class F>
void pair_loss_backward(const char* op, F f, const Tensor& dy, const Tensor& input, const Tensor& target,
                        Reduction reduction, Tensor& dx) {
  check_f32(op, input);
  write_gradients(dy, reduction, dx, PairTerm<F>{f, input.data<float>(), target.data<float>()});
}

// Stores the first index given to it: the smallest, as -1, "none", is the largest number without a sign.
struct FirstPosition {
  unsigned long long* position;
  __device__ void operator()(std::int64_t i) const {
    atomicMin(position, static_cast<unsigned long long>(i));
  }
};
inline FirstPosition no_position(Tensor& position) {
  auto* at = position.data<std::int64_t>();
  KARYON_CUDA_CHECK(cudaMemsetAsync(at, 0xff, sizeof *at, context().stream));
  return {reinterpret_cast<unsigned long long*>(at)};
}

// ---- overlap of regions ----

// Numerator and denominator of the coefficient; read and written at once.
struct alignas(16) Fraction {
  double above, below;
};
struct FractionSum {
  using Acc = Fraction;
  static __device__ Acc start() { return {0, 0}; }
  static __device__ Acc add(const Acc& a, const Acc& b, std::int64_t) {
    return {a.above + b.above, a.below + b.below};
  }
  static __device__ Acc combine(const Acc& a, const Acc& b) { return add(a, b, 0); }
};
struct StoreFraction {
  Fraction* fractions;
  double smooth;
  __device__ void operator()(std::int64_t at, std::int64_t, const Fraction& sum) const {
    fractions[at] = {sum.above + smooth, sum.below + smooth};
  }
};
struct LoadMiss {
  const Fraction* fractions;
  __device__ double operator()(std::int64_t i) const {
    const Fraction f = fractions[i];
    return 1 - f.above / f.below;
  }
};

/// Pixels of an image.
inline std::int64_t rows_of(const Tensor& x) {
  std::int64_t rows = 1;
  for (int d = 1; d + 1 < x.dim(); ++d) rows *= x.size(d);
  return rows;
}

}  // namespace karyon::cuda
