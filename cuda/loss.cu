// Losses: one pass forward and one backward, no probabilities and no unreduced losses in memory. Terms are
// computed in f32 and summed in double, in a fixed order (reduce.cuh).
#include <karyon/core/kernels/functors/loss.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;
constexpr int per_thread = 4;

// An optional weight that repeats along the elements.
struct Periodic {
  const float* values = nullptr;
  std::int64_t n = 1, total = 1;

  Periodic() = default;
  Periodic(const Tensor& x, std::int64_t count)
      : values(x.defined() ? x.data<float>() : nullptr), n(values ? x.numel() : 1), total(count) {}
  __device__ float operator[](std::int64_t i) const {
    if (!values) return 1;
    if (n == total) return values[i];
    std::int64_t k = 0;
    if (n > 1) divide(i, n, k);
    return values[k];
  }
};

// The term of element i, and its gradient, of each loss.
struct BceTerm {
  const float *x, *t;
  Periodic weight, positive;
  __device__ float operator()(std::int64_t i) const {
    return weight[i] * functors::Bce{}(x[i], t[i], positive[i]);
  }
  __device__ float grad(float dy, std::int64_t i) const {
    return dy * (weight[i] * functors::Bce{}.slope(x[i], t[i], positive[i]));
  }
};
template <class F>
struct PairTerm {
  F f;
  const float *x, *t;
  __device__ float operator()(std::int64_t i) const { return f(x[i], t[i]); }
  __device__ float grad(float dy, std::int64_t i) const { return f.grad(dy, x[i], t[i]); }
};

// f(i) for i = 0, ..., n - 1; a block's threads are neighbours in each round.
template <class F>
__global__ void __launch_bounds__(threads) for_each_kernel(std::int64_t n, F f) {
  const std::int64_t first = std::int64_t{blockIdx.x} * threads * per_thread + threadIdx.x;
#pragma unroll
  for (int k = 0; k < per_thread; ++k)
    if (first + k * threads < n) f(first + k * threads);
}
template <class F>
void for_each(std::int64_t n, F f) {
  launch(for_each_kernel<F>, grid_for(n, threads * per_thread), threads, 0, n, f);
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

void bce(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
         Reduction reduction, Tensor& out) {
  check_f32("bce_with_logits", input);
  const std::int64_t n = input.numel();
  reduce_terms(
      n, reduction, out,
      BceTerm{input.data<float>(), target.data<float>(), Periodic(weight, n), Periodic(pos_weight, n)});
}
void bce_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                  const Tensor& pos_weight, Reduction reduction, Tensor& dx) {
  check_f32("bce_with_logits", input);
  const std::int64_t n = input.numel();
  write_gradients(
      dy, reduction, dx,
      BceTerm{input.data<float>(), target.data<float>(), Periodic(weight, n), Periodic(pos_weight, n)});
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

void focal(const Tensor& input, const Tensor& target, double alpha, double gamma, Reduction reduction,
           Tensor& out) {
  pair_loss("focal_loss", functors::Focal{alpha, gamma}, input, target, reduction, out);
}
void focal_backward(const Tensor& dy, const Tensor& input, const Tensor& target, double alpha, double gamma,
                    Reduction reduction, Tensor& dx) {
  pair_loss_backward("focal_loss", functors::Focal{alpha, gamma}, dy, input, target, reduction, dx);
}
void mse(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("mse_loss", functors::SquaredDifference{}, input, target, reduction, out);
}
void mse_backward(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                  Tensor& dx) {
  pair_loss_backward("mse_loss", functors::SquaredDifference{}, dy, input, target, reduction, dx);
}
void l1(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("l1_loss", functors::AbsoluteDifference{}, input, target, reduction, out);
}
void l1_backward(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                 Tensor& dx) {
  pair_loss_backward("l1_loss", functors::AbsoluteDifference{}, dy, input, target, reduction, dx);
}

// ---- cross entropy ----

// The first of the bad ones is the smallest index; -1, "none", is the largest number without a sign.
struct FindBadClass {
  const std::int64_t* target;
  std::int64_t classes, ignore_index;
  unsigned long long* position;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t k = target[i];
    if ((k < 0 || k >= classes) && k != ignore_index) atomicMin(position, static_cast<unsigned long long>(i));
  }
};
void find_bad_class(const Tensor& target, std::int64_t classes, std::int64_t ignore_index, Tensor& position) {
  auto* at = position.data<std::int64_t>();
  KARYON_CUDA_CHECK(cudaMemsetAsync(at, 0xff, sizeof *at, context().stream));
  for_each(target.numel(), FindBadClass{target.data<std::int64_t>(), classes, ignore_index,
                                        reinterpret_cast<unsigned long long*>(at)});
}

// Rows of n classes, a team of threads for each.
struct Rows {
  const float* x;
  const std::int64_t* target;
  const float* weight;  // of each class, or nullptr
  std::int64_t ignore_index;

  Rows(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index)
      : x(input.data<float>()),
        target(target.data<std::int64_t>()),
        weight(weight.defined() ? weight.data<float>() : nullptr),
        ignore_index(ignore_index) {}
  /// Of row i.
  __device__ float weight_of(std::int64_t i) const {
    const std::int64_t k = target[i];
    return k == ignore_index ? 0.0f : weight ? weight[k] : 1.0f;
  }
};

struct RowWeight {
  Rows rows;
  __device__ float operator()(std::int64_t i) const { return rows.weight_of(i); }
};
struct StoreDouble {
  double* out;
  __device__ void operator()(std::int64_t, std::int64_t, double sum) const { *out = sum; }
};

struct Larger {
  __device__ float operator()(float a, float b) const { return b > a || b != b ? b : a; }
};
// The largest of the team's row of n, and the sum of the exponentials of the distances from it.
__device__ inline void row_sum(const Teams& teams, const float* row, int n, double* shared, float& top,
                               float& sum) {
  top = -std::numeric_limits<float>::infinity();
  for (int k = teams.row(); k < n; k += teams.rows()) top = Larger{}(top, row[k]);
  top = teams.all(reinterpret_cast<float*>(shared), top, Larger{});
  double part = 0;
  for (int k = teams.row(); k < n; k += teams.rows()) part += functors::exponential(row[k] - top);
  sum = static_cast<float>(teams.all(shared, part, Plus{}));
}

// losses[i] of row i.
__global__ void __launch_bounds__(reduce_threads)
    cross_entropy_kernel(Teams teams, Rows rows, float* losses) {
  __shared__ double shared[reduce_threads];
  std::int64_t i, column;
  const bool mine = teams.locate(i, column);
  const int n = mine ? static_cast<int>(teams.n) : 0;
  const float* row = rows.x + i * teams.n;
  float top, sum;
  row_sum(teams, row, n, shared, top, sum);
  if (!mine || teams.row() != 0) return;
  const std::int64_t k = rows.target[i];
  losses[i] = k == rows.ignore_index ? 0.0f : rows.weight_of(i) * ((top - row[k]) + std::log(sum));
}

struct StoreMean {
  float* out;
  const double* count;  // nullptr: the sum itself
  __device__ void operator()(std::int64_t, std::int64_t, double sum) const {
    *out = static_cast<float>(count ? sum / *count : sum);
  }
};

void cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   Reduction reduction, Tensor& out, Tensor& total_weight) {
  check_f32("cross_entropy", input);
  const std::int64_t n = target.numel();
  const Rows rows(input, target, weight, ignore_index);
  double* total = total_weight.data<double>();
  reduce<Sum>(1, n, 1, RowWeight{rows}, StoreDouble{total});
  const Teams teams(n, input.size(-1), 1);
  const bool whole = reduction == Reduction::none;
  Workspace scratch(whole ? 0 : static_cast<std::size_t>(n) * sizeof(float));
  float* losses = whole ? out.data<float>() : scratch.data<float>();
  launch(cross_entropy_kernel, grid_for(teams.blocks(), 1), reduce_threads, 0, teams, rows, losses);
  if (!whole)
    reduce<Sum>(1, n, 1, LoadArray<float>{losses},
                StoreMean{out.data<float>(), reduction == Reduction::mean ? total : nullptr});
}

__global__ void __launch_bounds__(reduce_threads)
    cross_entropy_backward_kernel(Teams teams, Rows rows, const float* dy, bool shared_dy,
                                  const double* count, float* dx) {
  __shared__ double shared[reduce_threads];
  std::int64_t i, column;
  const bool mine = teams.locate(i, column);
  const int n = mine ? static_cast<int>(teams.n) : 0;
  const float* row = rows.x + i * teams.n;
  float top, sum;
  row_sum(teams, row, n, shared, top, sum);
  if (!mine) return;
  const std::int64_t target = rows.target[i];
  const float upstream =
      shared_dy ? static_cast<float>(static_cast<double>(*dy) / (count ? *count : 1.0)) : dy[i];
  const bool ignored = target == rows.ignore_index;
  const float scale = ignored ? 0.0f : upstream * rows.weight_of(i);
  for (int k = teams.row(); k < n; k += teams.rows())
    dx[i * teams.n + k] =
        ignored ? 0.0f : functors::exponential(row[k] - top) * (scale / sum) - (k == target ? scale : 0.0f);
}

void cross_entropy_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                            std::int64_t ignore_index, Reduction reduction, const Tensor& total_weight,
                            Tensor& dx) {
  check_f32("cross_entropy", input);
  const Teams teams(target.numel(), input.size(-1), 1);
  launch(cross_entropy_backward_kernel, grid_for(teams.blocks(), 1), reduce_threads, 0, teams,
         Rows(input, target, weight, ignore_index), dy.data<float>(), reduction != Reduction::none,
         reduction == Reduction::mean ? total_weight.data<double>() : nullptr, dx.data<float>());
}

// ---- dice ----

__device__ inline float sigmoid(float x) {
  const float e = std::exp(-std::abs(x));
  return (x >= 0 ? 1.0f : e) / (1 + e);
}

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
struct LoadFraction {
  const float *x, *t;
  __device__ Fraction operator()(std::int64_t i) const {
    const double p = sigmoid(x[i]), truth = t[i];
    return {2 * p * truth, p + truth};
  }
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

std::int64_t rows_of(const Tensor& x) {
  std::int64_t rows = 1;
  for (int d = 1; d + 1 < x.dim(); ++d) rows *= x.size(d);
  return rows;
}

void dice(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions) {
  check_f32("dice_loss", input);
  const std::int64_t images = input.size(0), c = input.size(-1);
  auto* parts = reinterpret_cast<Fraction*>(fractions.data<double>());
  reduce<FractionSum>(images, rows_of(input), c, LoadFraction{input.data<float>(), target.data<float>()},
                      StoreFraction{parts, smooth});
  reduce<Sum>(1, images * c, 1, LoadMiss{parts},
              StoreLoss{out.data<float>(), static_cast<double>(images * c)});
}

struct DiceSlope {
  const float *x, *t, *dy;
  const Fraction* fractions;
  std::int64_t c, image_size;
  double count;
  float* dx;
  __device__ void operator()(std::int64_t i) const {
    std::int64_t in_image, k;
    const std::int64_t image = divide(i, image_size, in_image);
    divide(in_image, c, k);
    const auto [above, below] = fractions[image * c + k];
    const float e = std::exp(-std::abs(x[i])), slope = e / ((1 + e) * (1 + e));
    const double fraction_slope = (2 * static_cast<double>(t[i]) - above / below) / below;
    dx[i] = static_cast<float>(-(static_cast<double>(*dy) / count) * fraction_slope) * slope;
  }
};
void dice_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                   Tensor& dx) {
  check_f32("dice_loss", input);
  const std::int64_t images = input.size(0), c = input.size(-1);
  for_each(input.numel(), DiceSlope{input.data<float>(), target.data<float>(), dy.data<float>(),
                                    reinterpret_cast<const Fraction*>(fractions.data<double>()), c,
                                    rows_of(input) * c, static_cast<double>(images * c), dx.data<float>()});
}

}  // namespace

void register_loss_kernels(KernelTable& table) {
  table.add<decltype(kernels::bce_with_logits)>("bce_with_logits", bce);
  table.add<decltype(kernels::bce_with_logits_backward)>("bce_with_logits_backward", bce_backward);
  table.add<decltype(kernels::focal_loss)>("focal_loss", focal);
  table.add<decltype(kernels::focal_loss_backward)>("focal_loss_backward", focal_backward);
  table.add<decltype(kernels::mse_loss)>("mse_loss", mse);
  table.add<decltype(kernels::mse_loss_backward)>("mse_loss_backward", mse_backward);
  table.add<decltype(kernels::l1_loss)>("l1_loss", l1);
  table.add<decltype(kernels::l1_loss_backward)>("l1_loss_backward", l1_backward);
  table.add<decltype(kernels::find_bad_class)>("find_bad_class", find_bad_class);
  table.add<decltype(kernels::cross_entropy)>("cross_entropy", cross_entropy);
  table.add<decltype(kernels::cross_entropy_backward)>("cross_entropy_backward", cross_entropy_backward);
  table.add<decltype(kernels::dice_loss)>("dice_loss", dice);
  table.add<decltype(kernels::dice_loss_backward)>("dice_loss_backward", dice_backward);
}

}  // namespace karyon::cuda
