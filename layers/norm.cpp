#include <karyon/core/ops/activation.h>
#include <karyon/layers/norm.h>

namespace karyon {

BatchNorm2d::BatchNorm2d(std::int64_t num_features, const Options& o) : options(o) {
  check(num_features >= 1, "BatchNorm2d: expects at least 1 channel, got ", num_features);
  if (o.affine) {
    weight = ones({num_features});
    bias = zeros({num_features});
  }
  running_mean = zeros({num_features});
  running_var = ones({num_features});
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

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t num_channels, const Options& o)
    : num_groups(groups), options(o) {
  check(groups >= 1 && num_channels >= 1 && num_channels % groups == 0, "GroupNorm: ", num_channels,
        " channels do not divide into ", groups, " groups");
  if (o.affine) {
    weight = ones({num_channels});
    bias = zeros({num_channels});
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor GroupNorm::forward(Tensor x) {
  x = group_norm(x, num_groups, weight, bias, {.eps = options.eps});
  return options.relu ? relu(x) : x;
}

LayerNorm::LayerNorm(const Shape& over, const Options& o) : normalized_shape(over), options(o) {
  if (o.elementwise_affine) {
    weight = ones(over);
    bias = zeros(over);
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor LayerNorm::forward(Tensor x) {
  return layer_norm(x, normalized_shape, weight, bias, {.eps = options.eps});
}

}  // namespace karyon
