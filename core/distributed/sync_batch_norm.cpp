#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/distributed/sync_batch_norm.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/statistics.h>

namespace karyon::distributed {
namespace {

// Of the values of all ranks.
struct Moments {
  std::vector<double> mean, var;  // [C]; var is biased
  double count = 0;               // values per channel
};

// Each rank sends mean, sum of squared distances from it, and count. They are put together in the order of
// ranks (Chan, Golub and LeVeque, 1979).
Moments moments_of_all(const Tensor& x, ProcessGroup& group) {
  const NoGradGuard no_grad;
  const auto c = static_cast<std::size_t>(x.size(-1));
  const double count = c == 0 ? 0 : static_cast<double>(x.numel()) / static_cast<double>(c);
  std::vector<double> own(2 * c + 1, 0.0);
  own[2 * c] = count;
  if (count > 0) {
    std::vector<int> dims(static_cast<std::size_t>(x.dim() - 1));
    std::iota(dims.begin(), dims.end(), 0);
    const auto [var, mean] = var_mean(x.detach(), dims, {.correction = 0});
    const auto means = mean.to_vector<double>(), vars = var.to_vector<double>();
    for (std::size_t i = 0; i < c; ++i) {
      own[i] = means[i];
      own[c + i] = vars[i] * count;
    }
  }
  std::vector<std::vector<double>> parts;
  for (const Tensor& part : group.all_gather(tensor(own, {.dtype = f64})))
    parts.push_back(part.to_vector<double>());
  Moments all{std::vector<double>(c), std::vector<double>(c)};
  for (const auto& part : parts) all.count += part[2 * c];
  for (std::size_t i = 0; i < c; ++i) {
    for (const auto& part : parts) all.mean[i] += part[i] * part[2 * c] / all.count;
    for (const auto& part : parts) {
      const double distance = part[i] - all.mean[i];
      all.var[i] += (part[c + i] + part[2 * c] * distance * distance) / all.count;
    }
  }
  return all;
}

// running = (1 - momentum) running + momentum value.
void move(Tensor running, std::vector<double> values, double factor, double momentum) {
  if (!running.defined()) return;
  for (double& value : values) value *= factor;
  const NoGradGuard no_grad;
  running.mul_(1 - momentum);
  running.add_(tensor(values, running.shape(), {.dtype = running.dtype(), .device = running.device()}),
               momentum);
}

// What the statistics add to dx, from the sums over all ranks of dy and of dy times the normalized x.
void add_statistics_gradient(Tensor& dx, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& rstd, const Tensor& dweight, const Tensor& dbias, double count) {
  const Tensor scale = (weight.defined() ? rstd * weight : rstd) * (-1 / count);
  Tensor correction = empty_like(x);
  kernels::batch_norm(x, scale * dweight, scale * dbias, mean, rstd, false, correction);
  dx.add_(correction);
}

}  // namespace

Tensor sync_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                       Tensor running_var, const std::shared_ptr<ProcessGroup>& group,
                       const BatchNormOptions& options) {
  if (!group || group->size() == 1 || !options.training)
    return batch_norm(x, weight, bias, running_mean, running_var, options);
  kernels::check_batch_norm("sync_batch_norm", x, weight, bias, running_mean, running_var);
  const Moments all = moments_of_all(x, *group);
  check(x.size(-1) == 0 || all.count >= 2, "sync_batch_norm: expects more than one value per channel, got ",
        all.count, " on all ranks together");
  move(running_mean, all.mean, 1, options.momentum);
  move(running_var, all.var, all.count / (all.count - 1), options.momentum);
  std::vector<double> rstds;
  for (const double var : all.var) rstds.push_back(1 / std::sqrt(var + options.eps));
  const Shape shape{x.size(-1)};
  const TensorOptions beside{.dtype = parameter_dtype(x.dtype()), .device = x.device()};
  const Tensor mean = tensor(all.mean, shape, beside), rstd = tensor(rstds, shape, beside);
  Tensor y = empty_like(x);
  kernels::batch_norm(x, weight, bias, mean, rstd, options.relu, y);
  return record(
      "sync_batch_norm", y, {x, weight, bias},
      [x = SavedTensor(x), weight = SavedTensor(weight), bias = SavedTensor(bias), mean, rstd, beside, shape,
       count = all.count, group, relu = options.relu, want_x = x.requires_grad()](const Tensor& dy) {
        const std::int64_t c = shape[0];
        Tensor dx = want_x ? empty_like(dy) : Tensor(), dweight = empty(shape, beside),
               dbias = empty(shape, beside);
        kernels::batch_norm_backward(dy, x.get(), weight.get(), bias.get(), mean, rstd, relu, false, dx,
                                     dweight, dbias);
        Tensor sums = empty({2 * c}, beside);
        view(sums, shape).copy_(dweight);
        view(sums, shape, c).copy_(dbias);
        group->all_reduce(sums);
        if (want_x)
          add_statistics_gradient(dx, x.get(), weight.get(), mean, rstd, view(sums, shape),
                                  view(sums, shape, c), count);
        return std::vector{dx, weight.get().defined() ? dweight : Tensor(),
                           bias.get().defined() ? dbias : Tensor()};
      });
}

}  // namespace karyon::distributed
