#include <karyon/core/autograd.h>
#include <karyon/core/kernels/deferred.h>
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

// Whether batch norm with ReLU of x may wait until it is used: the kernels that read x instead take whole
// vectors of channels.
bool can_defer(const Tensor& x) { return reads_in_parts(x) && x.numel() > 0; }

// Batch norm as scale x + shift, [C] each.
std::pair<Tensor, Tensor> scale_and_shift(const Tensor& weight, const Tensor& bias, const Tensor& mean,
                                          const Tensor& rstd) {
  Tensor scale = rstd.clone(), shift = zeros_like(rstd);
  for (std::int64_t k = 0; k < scale.numel(); ++k) {
    if (weight.defined()) scale.data<float>()[k] *= weight.data<float>()[k];
    shift.data<float>()[k] =
        (bias.defined() ? bias.data<float>()[k] : 0.0f) - mean.data<float>()[k] * scale.data<float>()[k];
  }
  return {scale, shift};
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                  Tensor running_var, const BatchNormOptions& options) {
  check_floating(x, "batch_norm");
  check(x.dim() >= 2, "batch_norm: expects x [..., C] with at least 2 dimensions, got ", x.shape());
  const std::int64_t c = x.size(-1);
  const Shape shape{c};
  check_parameter(weight, shape, x.dtype(), "batch_norm", "weight");
  check_parameter(bias, shape, x.dtype(), "batch_norm", "bias");
  check_parameter(running_mean, shape, x.dtype(), "batch_norm", "running_mean");
  check_parameter(running_var, shape, x.dtype(), "batch_norm", "running_var");
  check(running_mean.defined() == running_var.defined(),
        "batch_norm: expects both running_mean and running_var, or neither");
  const bool from_batch = options.training || !running_mean.defined();
  Tensor mean = beside_if(true, shape, x), rstd = beside_if(true, shape, x);
  if (from_batch) {
    check(c == 0 || x.numel() / c >= 2,
          "batch_norm: expects more than one value per channel to normalize by the batch, got ", x.shape());
    kernels::batch_norm_statistics(x, options.momentum, options.eps, running_mean, running_var, mean, rstd);
    if (running_mean.defined()) {
      running_mean.bump_version();
      running_var.bump_version();
    }
  } else {
    kernels::batch_norm_running(running_mean, running_var, options.eps, mean, rstd);
  }
  const bool deferred =
      options.relu && can_defer(x) && (x.requires_grad() || wanted(weight) || wanted(bias)) && grad_enabled();
  std::shared_ptr<const DeferredNorm> recipe;
  if (deferred) {
    const auto [scale, shift] = scale_and_shift(weight, bias, mean, rstd);
    recipe = std::make_shared<DeferredNorm>(x, scale, shift);
  }
  Tensor y = deferred ? defer(x.shape(), x.dtype(), recipe, {x}) : empty_like(x);
  if (!deferred) kernels::batch_norm(x, weight, bias, mean, rstd, options.relu, y);
  y = record("batch_norm", y, {x, weight, bias},
             [x = SavedTensor(x), weight = SavedTensor(weight), bias = SavedTensor(bias), mean, rstd,
              relu = options.relu, from_batch, shape, want_x = x.requires_grad(),
              want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
               Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, shape, dy),
                      dbias = beside_if(want_bias, shape, dy);
               kernels::batch_norm_backward(dy, x.get(), weight.get(), bias.get(), mean, rstd, relu,
                                            from_batch, dx, dweight, dbias);
               return std::vector{dx, dweight, dbias};
             });
  // Backward keeps x in any case, so the next layer need not keep y: it is one pass over memory to make
  // again, or none for a kernel that reads x.
  if (deferred) {
    offer_recompute(y, [recipe, x = SavedTensor(x), shape = x.shape(), dtype = x.dtype()] {
      return defer(shape, dtype, recipe, {x.get()});
    });
  } else if (options.relu) {
    offer_recompute(y,
                    [x = SavedTensor(x), weight = SavedTensor(weight), bias = SavedTensor(bias), mean, rstd] {
                      const Tensor from = x.get();
                      Tensor again = empty_like(from);
                      kernels::batch_norm(from, weight.get(), bias.get(), mean, rstd, true, again);
                      return again;
                    });
  }
  return y;
}

std::pair<Tensor, Tensor> batch_norm_affine(const Tensor& weight, const Tensor& bias,
                                            const Tensor& running_mean, const Tensor& running_var,
                                            double eps) {
  const NoGradGuard no_grad;
  Tensor mean = empty_like(running_mean), rstd = empty_like(running_var);
  kernels::batch_norm_running(running_mean, running_var, eps, mean, rstd);
  Tensor scale = weight.defined() ? weight * rstd : rstd, shift = -(mean * scale);
  return {scale, bias.defined() ? bias + shift : shift};
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

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                  const LayerNormOptions& options) {
  check_floating(x, "layer_norm");
  const int dims = normalized_shape.dims(), kept = x.dim() - dims;
  check(
      dims >= 1 && kept >= 0 &&
          std::equal(normalized_shape.begin(), normalized_shape.end(), x.shape().begin() + std::max(kept, 0)),
      "layer_norm: expects x to end in ", normalized_shape, ", got ", x.shape());
  check(normalized_shape.numel() > 0, "layer_norm: expects values to normalize, got ", x.shape());
  check_parameter(weight, normalized_shape, x.dtype(), "layer_norm", "weight");
  check_parameter(bias, normalized_shape, x.dtype(), "layer_norm", "bias");
  const Shape rows{x.numel() / normalized_shape.numel()};
  Tensor y = empty_like(x), mean = beside_if(true, rows, x), rstd = beside_if(true, rows, x);
  kernels::layer_norm(x, weight, bias, options.eps, y, mean, rstd);
  return record(
      "layer_norm", y, {x, weight, bias},
      [x = SavedTensor(x), weight = SavedTensor(weight), mean, rstd, normalized_shape,
       want_x = x.requires_grad(), want_weight = wanted(weight), want_bias = wanted(bias)](const Tensor& dy) {
        Tensor dx = empty_if(want_x, dy), dweight = beside_if(want_weight, normalized_shape, dy),
               dbias = beside_if(want_bias, normalized_shape, dy);
        kernels::layer_norm_backward(dy, x.get(), weight.get(), mean, rstd, dx, dweight, dbias);
        return std::vector{dx, dweight, dbias};
      });
}

}  // namespace karyon
