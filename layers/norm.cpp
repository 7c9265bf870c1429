#include <karyon/core/distributed/sync_batch_norm.h>
#include <karyon/core/ops/activation.h>
#include <karyon/layers/norm.h>

namespace karyon {

BatchNorm::BatchNorm(const char* name, std::int64_t num_features, const Options& o) : options(o) {
  check(num_features >= 1, name, ": expects at least 1 channel, got ", num_features);
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
  register_counter("num_batches_tracked", num_batches_tracked);
}

Tensor BatchNorm::normalize(const Tensor& x) {
  Tensor y = distributed::sync_batch_norm(
      x, weight, bias, running_mean, running_var, process_group,
      {.training = is_training(), .momentum = options.momentum, .eps = options.eps, .relu = options.relu});
  if (is_training()) num_batches_tracked.add_(ones_like(num_batches_tracked));
  return y;
}

void convert_sync_batchnorm(Module& module, const std::shared_ptr<distributed::ProcessGroup>& group) {
  for (const auto& [name, child] : module.named_modules())
    if (auto* norm = dynamic_cast<BatchNorm*>(child)) norm->process_group = group;
}

BatchNorm1d::BatchNorm1d(std::int64_t num_features, const Options& o)
    : BatchNorm("BatchNorm1d", num_features, o) {}

Tensor BatchNorm1d::forward(Tensor x) {
  check(x.dim() == 2 || x.dim() == 3, "BatchNorm1d: expects [N, C] or [N, L, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> BatchNorm1d::rebuilt() const {
  return std::make_unique<BatchNorm1d>(running_mean.size(0), options);
}

BatchNorm2d::BatchNorm2d(std::int64_t num_features, const Options& o)
    : BatchNorm("BatchNorm2d", num_features, o) {}

Tensor BatchNorm2d::forward(Tensor x) {
  check(x.dim() == 4, "BatchNorm2d: expects [N, H, W, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> BatchNorm2d::rebuilt() const {
  return std::make_unique<BatchNorm2d>(running_mean.size(0), options);
}

BatchNorm3d::BatchNorm3d(std::int64_t num_features, const Options& o)
    : BatchNorm("BatchNorm3d", num_features, o) {}

Tensor BatchNorm3d::forward(Tensor x) {
  check(x.dim() == 5, "BatchNorm3d: expects [N, D, H, W, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> BatchNorm3d::rebuilt() const {
  return std::make_unique<BatchNorm3d>(running_mean.size(0), options);
}

InstanceNorm::InstanceNorm(const char* name, std::int64_t features, const Options& o)
    : num_features(features), options(o) {
  check(features >= 1, name, ": expects at least 1 channel, got ", features);
  if (o.affine) {
    weight = ones({features});
    bias = zeros({features});
  }
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor InstanceNorm::normalize(const Tensor& x) const {
  check(x.size(-1) == num_features, "InstanceNorm: expects ", num_features, " channels, got ", x.shape());
  const Tensor y = instance_norm(x, weight, bias, {.eps = options.eps});
  return options.relu ? relu(y) : y;
}

InstanceNorm1d::InstanceNorm1d(std::int64_t features, const Options& o)
    : InstanceNorm("InstanceNorm1d", features, o) {}

Tensor InstanceNorm1d::forward(Tensor x) {
  check(x.dim() == 3, "InstanceNorm1d: expects [N, L, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> InstanceNorm1d::rebuilt() const {
  return std::make_unique<InstanceNorm1d>(num_features, options);
}

InstanceNorm2d::InstanceNorm2d(std::int64_t features, const Options& o)
    : InstanceNorm("InstanceNorm2d", features, o) {}

Tensor InstanceNorm2d::forward(Tensor x) {
  check(x.dim() == 4, "InstanceNorm2d: expects [N, H, W, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> InstanceNorm2d::rebuilt() const {
  return std::make_unique<InstanceNorm2d>(num_features, options);
}

InstanceNorm3d::InstanceNorm3d(std::int64_t features, const Options& o)
    : InstanceNorm("InstanceNorm3d", features, o) {}

Tensor InstanceNorm3d::forward(Tensor x) {
  check(x.dim() == 5, "InstanceNorm3d: expects [N, D, H, W, C], got ", x.shape());
  return normalize(x);
}

std::unique_ptr<Module> InstanceNorm3d::rebuilt() const {
  return std::make_unique<InstanceNorm3d>(num_features, options);
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, const Options& o)
    : num_groups(groups), num_channels(channels), options(o) {
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
  x = group_norm(x, num_groups, weight, bias, {.eps = options.eps});
  return options.relu ? relu(x) : x;
}

std::unique_ptr<Module> GroupNorm::rebuilt() const {
  return std::make_unique<GroupNorm>(num_groups, num_channels, options);
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

std::unique_ptr<Module> LayerNorm::rebuilt() const {
  return std::make_unique<LayerNorm>(normalized_shape, options);
}

RMSNorm::RMSNorm(const Shape& over, const Options& o) : normalized_shape(over), options(o) {
  if (o.elementwise_affine) weight = ones(over);
  register_parameter("weight", weight);
}

Tensor RMSNorm::forward(Tensor x) { return rms_norm(x, normalized_shape, weight, {.eps = options.eps}); }

std::unique_ptr<Module> RMSNorm::rebuilt() const {
  return std::make_unique<RMSNorm>(normalized_shape, options);
}

}  // namespace karyon
