#include <memory>
#include <tuple>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/norm.h>

namespace karyon {
namespace {

void check_floating(const Tensor& x, const char* op) {
  check(is_floating(x.dtype()), op, ": expects f32, f64 or bf16, got ", x.dtype());
}

void check_parameter(const Tensor& p, const Shape& shape, DType x, const char* op, const char* what) {
  if (!p.defined()) return;
  const DType dtype = parameter_dtype(x);
  check(p.shape() == shape && p.dtype() == dtype, op, ": ", what, " expects ", dtype, shape, ", got ",
        p.dtype(), p.shape());
}

bool wanted(const Tensor& p) { return p.defined() && p.requires_grad(); }
// A gradient like dy.
Tensor empty_if(bool wanted, const Tensor& dy) { return wanted ? empty_like(dy) : Tensor(); }
// Statistics or a parameter's gradient beside x.
Tensor beside_if(bool wanted, const Shape& shape, const Tensor& x) {
  return wanted ? empty(shape, {.dtype = parameter_dtype(x.dtype()), .device = x.device()}) : Tensor();
}

// weight (x - mean) rstd + bias as scale x + shift, [C] each.
std::pair<Tensor, Tensor> scale_and_shift(const Tensor& weight, const Tensor& bias, const Tensor& mean,
                                          const Tensor& rstd) {
  const NoGradGuard no_grad;
  const Tensor scale = weight.defined() ? rstd * weight : rstd;
  return {scale, (bias.defined() ? bias : zeros_like(mean)) - mean * scale};
}

// Batch norm with ReLU as a recipe; reading the result lazily takes the scale and the shift.
std::shared_ptr<const LazyNorm> norm_recipe(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                            const Tensor& mean, const Tensor& rstd) {
  const auto recipe = std::make_shared<LazyNorm>(x, weight, bias, mean, rstd);
  if (reads_lazily(recipe->kind(), x))
    std::tie(recipe->scale, recipe->shift) = scale_and_shift(weight, bias, mean, rstd);
  return recipe;
}

// mean, rstd [C] of this batch, which also move the running statistics.
void batch_statistics(const Tensor& x, const BatchNormOptions& options, Tensor& running_mean,
                      Tensor& running_var, Tensor& mean, Tensor& rstd) {
  check(x.size(-1) == 0 || x.numel() / x.size(-1) >= 2,
        "batch_norm: expects more than one value per channel to normalize by the batch, got ", x.shape());
  for (Tensor* running : {&running_mean, &running_var})
    if (running->defined()) running->before_write();
  kernels::batch_norm_statistics(x, options.momentum, options.eps, running_mean, running_var, mean, rstd);
}

}  // namespace

void kernels::check_batch_norm(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                               const Tensor& running_mean, const Tensor& running_var) {
  check_floating(x, op);
  check(x.dim() >= 2, op, ": expects x [..., C] with at least 2 dimensions, got ", x.shape());
  const Shape shape{x.size(-1)};
  check_parameter(weight, shape, x.dtype(), op, "weight");
  check_parameter(bias, shape, x.dtype(), op, "bias");
  check_parameter(running_mean, shape, x.dtype(), op, "running_mean");
  check_parameter(running_var, shape, x.dtype(), op, "running_var");
  check(running_mean.defined() == running_var.defined(), op,
        ": expects both running_mean and running_var, or neither");
}

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                  Tensor running_var, const BatchNormOptions& options) {
  kernels::check_batch_norm("batch_norm", x, weight, bias, running_mean, running_var);
  const Shape shape{x.size(-1)};
  const bool from_batch = options.training || !running_mean.defined();
  Tensor mean = beside_if(true, shape, x), rstd = beside_if(true, shape, x);
  if (from_batch) {
    batch_statistics(x, options, running_mean, running_var, mean, rstd);
  } else {
    kernels::batch_norm_running(running_mean, running_var, options.eps, mean, rstd);
  }
  // With ReLU the recorded result is lazy: backward keeps x in any case, so the next layer need not keep y.
  const bool recorded = grad_enabled() && (x.requires_grad() || wanted(weight) || wanted(bias));
  const auto recipe = options.relu && recorded ? norm_recipe(x, weight, bias, mean, rstd) : nullptr;
  Tensor y = recipe ? lazy_tensor(recipe) : empty_like(x);
  if (!recipe) kernels::batch_norm(x, weight, bias, mean, rstd, options.relu, y);
  // The closure owns the recipe.
  return record("batch_norm", y, {x, weight, bias},
                [recipe, x = SavedTensor(x), weight = SavedTensor(weight), bias = SavedTensor(bias), mean,
                 rstd, from_batch, shape, want_x = x.requires_grad(), want_weight = wanted(weight),
                 want_bias = wanted(bias)](const Tensor& dy) {
                  Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, shape, dy),
                         dbias = beside_if(want_bias, shape, dy);
                  const bool relu = recipe != nullptr;
                  kernels::batch_norm_backward(dy, x.get(), weight.get(), bias.get(), mean, rstd, relu,
                                               from_batch, dx, dweight, dbias);
                  return std::vector{dx, dweight, dbias};
                });
}

std::pair<Tensor, Tensor> batch_norm_affine(const Tensor& weight, const Tensor& bias,
                                            const Tensor& running_mean, const Tensor& running_var,
                                            double eps) {
  Tensor mean = empty_like(running_mean), rstd = empty_like(running_var);
  kernels::batch_norm_running(running_mean, running_var, eps, mean, rstd);
  return scale_and_shift(weight, bias, mean, rstd);
}

Tensor group_norm(const Tensor& x, std::int64_t num_groups, const Tensor& weight, const Tensor& bias,
                  const GroupNormOptions& options) {
  check_floating(x, "group_norm");
  check(x.dim() >= 2, "group_norm: expects x [N, ..., C] with at least 2 dimensions, got ", x.shape());
  const std::int64_t n = x.size(0), c = x.size(-1);
  check(num_groups >= 1 && c % num_groups == 0, "group_norm: expects channels divisible by ", num_groups,
        " groups, got ", x.shape());
  check(n == 0 || x.numel() > 0, "group_norm: expects values to normalize, got ", x.shape());
  check_parameter(weight, {c}, x.dtype(), "group_norm", "weight");
  check_parameter(bias, {c}, x.dtype(), "group_norm", "bias");
  Tensor y = empty_like(x), mean = beside_if(true, {n, num_groups}, x),
         rstd = beside_if(true, {n, num_groups}, x);
  kernels::group_norm(x, weight, bias, options.eps, y, mean, rstd);
  return record("group_norm", y, {x, weight, bias},
                [x = SavedTensor(x), weight = SavedTensor(weight), mean, rstd, c, want_x = x.requires_grad(),
                 want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
                  Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, {c}, dy),
                         dbias = beside_if(want_bias, {c}, dy);
                  kernels::group_norm_backward(dy, x.get(), weight.get(), mean, rstd, dx, dweight, dbias);
                  return std::vector{dx, dweight, dbias};
                });
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const InstanceNormOptions& options) {
  check_floating(x, "instance_norm");
  check(x.dim() >= 3, "instance_norm: expects x [N, ..., C] with at least 3 dimensions, got ", x.shape());
  const std::int64_t c = x.size(-1);
  check(c >= 1, "instance_norm: expects at least 1 channel, got ", x.shape());
  check(x.size(0) == 0 || x.numel() / x.size(0) / c > 1,
        "instance_norm: expects more than one position in each image, got ", x.shape());
  check_parameter(weight, {c}, x.dtype(), "instance_norm", "weight");
  check_parameter(bias, {c}, x.dtype(), "instance_norm", "bias");
  return group_norm(x, c, weight, bias, {.eps = options.eps});
}

namespace {

// layer_norm, or rms_norm if it is not centred: then it has no means.
Tensor norm_of_rows(const char* op, const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                    const Tensor& bias, double eps, bool centred) {
  check_floating(x, op);
  const int dims = normalized_shape.dims(), kept = x.dim() - dims;
  check(
      dims >= 1 && kept >= 0 &&
          std::equal(normalized_shape.begin(), normalized_shape.end(), x.shape().begin() + std::max(kept, 0)),
      op, ": expects x to end in ", normalized_shape, ", got ", x.shape());
  check(normalized_shape.numel() > 0, op, ": expects values to normalize, got ", x.shape());
  check_parameter(weight, normalized_shape, x.dtype(), op, "weight");
  check_parameter(bias, normalized_shape, x.dtype(), op, "bias");
  const Shape rows{x.numel() / normalized_shape.numel()};
  Tensor y = empty_like(x), mean = beside_if(centred, rows, x), rstd = beside_if(true, rows, x);
  kernels::layer_norm(x, weight, bias, eps, y, mean, rstd);
  return record(
      op, y, {x, weight, bias},
      [x = SavedTensor(x), weight = SavedTensor(weight), mean, rstd, normalized_shape,
       want_x = x.requires_grad(), want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
        Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, normalized_shape, dy),
               dbias = beside_if(want_bias, normalized_shape, dy);
        kernels::layer_norm_backward(dy, x.get(), weight.get(), mean, rstd, dx, dweight, dbias);
        return std::vector{dx, dweight, dbias};
      });
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                  const LayerNormOptions& options) {
  return norm_of_rows("layer_norm", x, normalized_shape, weight, bias, options.eps, true);
}

Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight,
                const RMSNormOptions& options) {
  const double spacing = x.dtype() == f64 ? 0x1p-52 : 0x1p-23;
  return norm_of_rows("rms_norm", x, normalized_shape, weight, {}, options.eps.value_or(spacing), false);
}

}  // namespace karyon
