// Losses of class indices: one pass over the rows of classes forward and one backward.
#include <karyon/core/kernels/functors/math.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/loss_terms.cuh>

namespace karyon::cuda {
namespace {

struct FindBadClass {
  const std::int64_t* target;
  std::int64_t classes, ignore_index;
  FirstPosition found;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t k = target[i];
    if ((k < 0 || k >= classes) && k != ignore_index) found(i);
  }
};
void find_bad_class(const Tensor& target, std::int64_t classes, std::int64_t ignore_index, Tensor& position) {
  for_each(target.numel(),
           FindBadClass{target.data<std::int64_t>(), classes, ignore_index, no_position(position)});
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

// The target's share of the loss, and the share of each class.
struct Smoothing {
  float target, each;
  Smoothing(double smoothing, std::int64_t classes)
      : target(static_cast<float>(1 - smoothing)),
        each(static_cast<float>(smoothing / static_cast<double>(classes))) {}
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

// The sum over the classes k of their weight times f(k), for the whole team.
template <class F>
__device__ float sum_of_classes(const Teams& teams, const Rows& rows, int n, double* shared, F f) {
  double part = 0;
  for (int k = teams.row(); k < n; k += teams.rows()) part += (rows.weight ? rows.weight[k] : 1.0f) * f(k);
  return static_cast<float>(teams.all(shared, part, Plus{}));
}

// losses[i] of row i.
__global__ void __launch_bounds__(reduce_threads)
    cross_entropy_kernel(Teams teams, Rows rows, Smoothing smoothing, float* losses) {
  __shared__ double shared[reduce_threads];
  std::int64_t i, column;
  const bool mine = teams.locate(i, column);
  const int n = mine ? static_cast<int>(teams.n) : 0;
  const float* row = rows.x + i * teams.n;
  float top, sum;
  row_sum(teams, row, n, shared, top, sum);
  const float log = std::log(sum);
  float each = 0;
  if (smoothing.each != 0)
    each =
        smoothing.each * sum_of_classes(teams, rows, n, shared, [&](int k) { return (top - row[k]) + log; });
  if (!mine || teams.row() != 0) return;
  const std::int64_t k = rows.target[i];
  losses[i] =
      k == rows.ignore_index ? 0.0f : smoothing.target * rows.weight_of(i) * ((top - row[k]) + log) + each;
}

struct StoreMean {
  float* out;
  const double* count;  // nullptr: the sum itself
  __device__ void operator()(std::int64_t, std::int64_t, double sum) const {
    *out = static_cast<float>(count ? sum / *count : sum);
  }
};

void cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   double smoothing, Reduction reduction, Tensor& out, Tensor& total_weight) {
  check_f32("cross_entropy", input);
  const std::int64_t n = target.numel();
  const Rows rows(input, target, weight, ignore_index);
  double* total = total_weight.data<double>();
  reduce<Sum>(1, n, 1, RowWeight{rows}, StoreDouble{total});
  const Teams teams(n, input.size(-1), 1);
  const bool whole = reduction == Reduction::none;
  Workspace scratch(whole ? 0 : static_cast<std::size_t>(n) * sizeof(float));
  float* losses = whole ? out.data<float>() : scratch.data<float>();
  launch(cross_entropy_kernel, grid_for(teams.blocks(), 1), reduce_threads, 0, teams, rows,
         Smoothing(smoothing, input.size(-1)), losses);
  if (!whole)
    reduce<Sum>(1, n, 1, LoadArray<float>{losses},
                StoreMean{out.data<float>(), reduction == Reduction::mean ? total : nullptr});
}

__global__ void __launch_bounds__(reduce_threads)
    cross_entropy_backward_kernel(Teams teams, Rows rows, Smoothing smoothing, const float* dy,
                                  bool shared_dy, const double* count, float* dx) {
  __shared__ double shared[reduce_threads];
  std::int64_t i, column;
  const bool mine = teams.locate(i, column);
  const int n = mine ? static_cast<int>(teams.n) : 0;
  const float* row = rows.x + i * teams.n;
  float top, sum;
  row_sum(teams, row, n, shared, top, sum);
  float total_weight = 0;
  if (smoothing.each != 0) total_weight = sum_of_classes(teams, rows, n, shared, [](int) { return 1.0f; });
  if (!mine) return;
  const std::int64_t target = rows.target[i];
  const float upstream =
      shared_dy ? static_cast<float>(static_cast<double>(*dy) / (count ? *count : 1.0)) : dy[i];
  const bool ignored = target == rows.ignore_index;
  const float of_target = ignored ? 0.0f : upstream * (smoothing.target * rows.weight_of(i));
  const float of_each = upstream * smoothing.each, scale = of_target + of_each * total_weight;
  for (int k = teams.row(); k < n; k += teams.rows()) {
    float d = functors::exponential(row[k] - top) * (scale / sum) - (k == target ? of_target : 0.0f);
    if (smoothing.each != 0) d -= of_each * (rows.weight ? rows.weight[k] : 1.0f);
    dx[i * teams.n + k] = ignored ? 0.0f : d;
  }
}

void cross_entropy_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                            std::int64_t ignore_index, double smoothing, Reduction reduction,
                            const Tensor& total_weight, Tensor& dx) {
  check_f32("cross_entropy", input);
  const Teams teams(target.numel(), input.size(-1), 1);
  launch(cross_entropy_backward_kernel, grid_for(teams.blocks(), 1), reduce_threads, 0, teams,
         Rows(input, target, weight, ignore_index), Smoothing(smoothing, input.size(-1)), dy.data<float>(),
         reduction != Reduction::none, reduction == Reduction::mean ? total_weight.data<double>() : nullptr,
         dx.data<float>());
}

// ---- negative log likelihood ----

struct NllTerm {
  Rows rows;
  std::int64_t n;
  __device__ float operator()(std::int64_t i) const {
    const std::int64_t k = rows.target[i];
    return k == rows.ignore_index ? 0.0f : -rows.x[i * n + k] * rows.weight_of(i);
  }
};
void nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
              Reduction reduction, Tensor& out, Tensor& total_weight) {
  check_f32("nll_loss", input);
  const std::int64_t n = target.numel();
  const Rows rows(input, target, weight, ignore_index);
  const NllTerm term{rows, input.size(-1)};
  double* total = total_weight.data<double>();
  reduce<Sum>(1, n, 1, RowWeight{rows}, StoreDouble{total});
  if (reduction == Reduction::none) return for_each(n, StoreTerm<NllTerm>{term, out.data<float>()});
  reduce<Sum>(1, n, 1, term, StoreMean{out.data<float>(), reduction == Reduction::mean ? total : nullptr});
}

struct NllSlope {
  Rows rows;
  std::int64_t n;
  const float* dy;
  bool shared_dy;
  const double* count;
  float* dx;
  __device__ void operator()(std::int64_t at) const {
    std::int64_t k;
    const std::int64_t i = divide(at, n, k);
    const bool hit = rows.target[i] == k && k != rows.ignore_index;
    const float upstream =
        shared_dy ? static_cast<float>(static_cast<double>(*dy) / (count ? *count : 1.0)) : dy[i];
    dx[at] = hit ? -upstream * rows.weight_of(i) : 0.0f;
  }
};
void nll_loss_backward(const Tensor& dy, const Tensor& target, const Tensor& weight,
                       std::int64_t ignore_index, Reduction reduction, const Tensor& total_weight,
                       Tensor& dx) {
  check_f32("nll_loss", dx);
  for_each(dx.numel(),
           NllSlope{Rows(dx, target, weight, ignore_index), dx.size(-1), dy.data<float>(),
                    reduction != Reduction::none,
                    reduction == Reduction::mean ? total_weight.data<double>() : nullptr, dx.data<float>()});
}

}  // namespace

void register_loss_class_kernels(KernelTable& table) {
  table.add<decltype(kernels::find_bad_class), find_bad_class>("find_bad_class");
  table.add<decltype(kernels::cross_entropy), cross_entropy>("cross_entropy");
  table.add<decltype(kernels::cross_entropy_backward), cross_entropy_backward>("cross_entropy_backward");
  table.add<decltype(kernels::nll_loss), nll_loss>("nll_loss");
  table.add<decltype(kernels::nll_loss_backward), nll_loss_backward>("nll_loss_backward");
}

}  // namespace karyon::cuda
