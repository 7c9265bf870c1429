#include <memory>
#include <tuple>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

void check_floating(const Tensor& x, const char* op) { check_computed(op, x); }

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

// x normalized over `dims`, times weight plus bias: a norm as a composition.
Tensor normalized(const Tensor& x, const std::vector<int>& dims, double eps) {
  const Tensor centered = sub(x, mean(x, dims, true));
  return mul(centered, rsqrt(mean(square(centered), dims, true) + eps));
}
Tensor affine(Tensor x, const Tensor& weight, const Tensor& bias) {
  if (weight.defined()) x = mul(x, weight);
  return bias.defined() ? add(x, bias) : x;
}
std::vector<int> all_but_last(const Tensor& x) {
  std::vector<int> dims;
  for (int d = 0; d + 1 < x.dim(); ++d) dims.push_back(d);
  return dims;
}

// Records the gradients of group_norm or layer_norm. That of the bias is linear.
std::vector<Tensor> record_norm(const char* name, std::vector<Tensor> gradients, const Tensor& dy,
                                const Tensor& x, const Tensor& weight, Composition without_bias) {
  if (!grad_enabled()) return gradients;
  auto recorded =
      record_gradients(name, {gradients[0], gradients[1]}, dy, {x, weight}, std::move(without_bias));
  if (gradients[2].defined())
    gradients[2] = record_as(name, gradients[2], {dy}, [shape = gradients[2].shape()](const auto& in) {
      return sum_to(widen(in[0]), shape);
    });
  recorded.push_back(gradients[2]);
  return recorded;
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
  y = record(
      "batch_norm", y, {x, weight, bias}, twice_differentiable,
      [recipe, x = SavedTensor(x), weight = SavedTensor(weight), bias = SavedTensor(bias), mean, rstd,
       from_batch, eps = options.eps, shape, want_x = x.requires_grad(), want_weight = wanted(weight),
       want_bias = wanted(bias)](const Tensor& dy) {
        Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, shape, dy),
               dbias = beside_if(want_bias, shape, dy);
        const bool relu = recipe != nullptr;
        const Tensor from = x.get(), by = weight.get(), plus = bias.get();
        kernels::batch_norm_backward(dy, from, by, plus, mean, rstd, relu, from_batch, dx, dweight, dbias);
        return record_gradients(
            "batch_norm", {dx, dweight, dbias}, dy, {from, by, plus}, [=](const std::vector<Tensor>& in) {
              const Tensor wide = widen(in[0]);
              const Tensor unit =
                  from_batch ? normalized(wide, all_but_last(wide), eps) : mul(sub(wide, mean), rstd);
              const Tensor out = affine(unit, in[1], in[2]);
              return relu ? karyon::relu(out) : out;
            });
      });
  return traced(y, [&] {
    TraceOptions all{{"eps", options.eps}, {"relu", options.relu ? 1 : 0}};
    if (!from_batch) all.insert({{"running_mean", running_mean}, {"running_var", running_var}});
    return all;
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
  y = record(
      "group_norm", y, {x, weight, bias}, twice_differentiable,
      [x = SavedTensor(x), weight = SavedTensor(weight), mean, rstd, c, eps = options.eps,
       want_x = x.requires_grad(), want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
        Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, {c}, dy),
               dbias = beside_if(want_bias, {c}, dy);
        const Tensor from = x.get(), by = weight.get();
        kernels::group_norm_backward(dy, from, by, mean, rstd, dx, dweight, dbias);
        const std::int64_t images = from.size(0), groups = mean.size(1);
        const Shape grouped{images, images * c > 0 ? from.numel() / (images * c) : 0, groups, c / groups};
        return record_norm("group_norm", {dx, dweight, dbias}, dy, from, by,
                           [grouped, eps](const std::vector<Tensor>& in) {
                             const Tensor unit = normalized(widen(in[0]).reshape(grouped), {1, 3}, eps);
                             return affine(unit.reshape(in[0].shape()), in[1], {});
                           });
      });
  return traced(y, [&] { return TraceOptions{{"num_groups", num_groups}, {"eps", options.eps}}; });
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
  y = record(
      op, y, {x, weight, bias}, twice_differentiable,
      [op, x = SavedTensor(x), weight = SavedTensor(weight), mean, rstd, normalized_shape, eps, centred,
       want_x = x.requires_grad(), want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
        Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, normalized_shape, dy),
               dbias = beside_if(want_bias, normalized_shape, dy);
        const Tensor from = x.get(), by = weight.get();
        kernels::layer_norm_backward(dy, from, by, mean, rstd, dx, dweight, dbias);
        const Shape flat{rstd.size(0), normalized_shape.numel()};
        return record_norm(
            op, {dx, dweight, dbias}, dy, from, by, [flat, eps, centred](const std::vector<Tensor>& in) {
              const Tensor row = widen(in[0]).reshape(flat);
              const Tensor unit = centred ? normalized(row, {1}, eps)
                                          : row * rsqrt(karyon::mean(square(row), {1}, true) + eps);
              return affine(unit.reshape(in[0].shape()), in[1], {});
            });
      });
  return traced(y, [&] { return TraceOptions{{"dims", dims}, {"eps", eps}}; });
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
