#include <karyon/core/autograd.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/layers/norm.h>

namespace karyon {

BatchNorm2d::BatchNorm2d(std::int64_t channels, const Options& o) : options(o) {
  check(channels >= 1, "BatchNorm2d: expects at least 1 channel, got ", channels);
  if (o.affine) {
    weight = ones({channels});
    bias = zeros({channels});
  }
  running_mean = zeros({channels});
  running_var = ones({channels});
  num_batches_tracked = zeros({}, {.dtype = i64});
  register_parameter("weight", weight);
  register_parameter("bias", bias);
  register_buffer("running_mean", running_mean);
  register_buffer("running_var", running_var);
  register_buffer("num_batches_tracked", num_batches_tracked);
}

Tensor BatchNorm2d::forward(Tensor x) {
  check(x.dim() == 4, "BatchNorm2d: expects [N, H, W, C], got ", x.shape());
  Tensor y = batch_norm(
      x, weight, bias, running_mean, running_var,
      {.training = is_training(), .momentum = options.momentum, .eps = options.eps, .relu = options.relu});
  if (is_training()) num_batches_tracked.add_(ones_like(num_batches_tracked));
  return y;
}

std::pair<Tensor, Tensor> BatchNorm2d::evaluation_affine() const {
  const NoGradGuard no_grad;
  Tensor mean = empty_like(running_mean), rstd = empty_like(running_var);
  kernels::batch_norm_running(running_mean, running_var, options.eps, mean, rstd);
  Tensor scale = weight.defined() ? weight * rstd : rstd, shift = -(mean * scale);
  return {scale, bias.defined() ? bias + shift : shift};
}

GroupNorm::GroupNorm(std::int64_t group_count, std::int64_t channels, const Options& o)
    : groups(group_count), options(o) {
  check(groups >= 1 && channels >= 1 && channels % groups == 0, "GroupNorm: ", channels,
        " channels do not divide into ", groups, " groups");
  if (o.affine) {
    weight = ones({channels});
    bias = zeros({channels});
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor GroupNorm::forward(Tensor x) {
  x = group_norm(x, groups, weight, bias, options.eps);
  return options.relu ? relu(x) : x;
}

LayerNorm::LayerNorm(const Shape& over, const Options& o) : normalized_shape(over), options(o) {
  if (o.affine) {
    weight = ones(over);
    bias = zeros(over);
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor LayerNorm::forward(Tensor x) { return layer_norm(x, normalized_shape, weight, bias, options.eps); }

}  // namespace karyon
