#pragma once
#include <karyon/core/ops/norm.h>
#include <karyon/layers/module.h>

namespace karyon {

namespace distributed {
class ProcessGroup;
}

struct BatchNormLayerOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of a batch in the running statistics
  bool affine = true;     ///< has weight and bias
  bool relu = false;      ///< max(., 0) on the result, in the same pass over memory
};

/// What BatchNorm1d, BatchNorm2d and BatchNorm3d share: batch_norm by the batch while training, by the running statistics
/// in evaluation.
struct BatchNorm : Module {
  using Options = BatchNormLayerOptions;

  const Options options;
  Tensor weight, bias;               ///< [C] or undefined
  Tensor running_mean, running_var;  ///< [C]
  Tensor num_batches_tracked;        ///< i64 scalar, kept for PyTorch's state dicts
  /// Whose batches are normalized together while training; null: this process's alone. Not cloned.
  std::shared_ptr<distributed::ProcessGroup> process_group;

 protected:
  BatchNorm(const char* name, std::int64_t num_features, const Options& options);
  Tensor normalize(const Tensor& x);
};

/// Lets all batch norms in a module use the batches of all ranks (distributed/sync_batch_norm.h), as
/// torch.nn.SyncBatchNorm.convert_sync_batchnorm, but in place.
void convert_sync_batchnorm(Module& module, const std::shared_ptr<distributed::ProcessGroup>& group);

/// Batch norm of vectors [N, C] or sequences [N, L, C].
struct BatchNorm1d : BatchNorm {
  explicit BatchNorm1d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

/// Batch norm of images [N, H, W, C].
struct BatchNorm2d : BatchNorm {
  explicit BatchNorm2d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

/// Batch norm of volumes [N, D, H, W, C].
struct BatchNorm3d : BatchNorm {
  explicit BatchNorm3d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

struct GroupNormLayerOptions {
  double eps = 1e-5;
  bool affine = true;  ///< has weight and bias
  bool relu = false;   ///< max(., 0) on the result
};

/// group_norm: [N, ..., C], C divisible by the number of groups.
struct GroupNorm : Module {
  using Options = GroupNormLayerOptions;

  GroupNorm(std::int64_t num_groups, std::int64_t num_channels, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const std::int64_t num_groups, num_channels;
  const Options options;
  Tensor weight, bias;  ///< [C] or undefined
};

struct InstanceNormLayerOptions {
  double eps = 1e-5;
  bool affine = false;  ///< has weight and bias
  bool relu = false;    ///< max(., 0) on the result
};

/// What InstanceNorm1d, InstanceNorm2d and InstanceNorm3d share: instance_norm, always by the instance.
struct InstanceNorm : Module {
  using Options = InstanceNormLayerOptions;

  const std::int64_t num_features;
  const Options options;
  Tensor weight, bias;  ///< [C] or undefined

 protected:
  InstanceNorm(const char* name, std::int64_t num_features, const Options& options);
  Tensor normalize(const Tensor& x) const;
};

/// Instance norm of sequences [N, L, C].
struct InstanceNorm1d : InstanceNorm {
  explicit InstanceNorm1d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

/// Instance norm of images [N, H, W, C].
struct InstanceNorm2d : InstanceNorm {
  explicit InstanceNorm2d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

/// Instance norm of volumes [N, D, H, W, C].
struct InstanceNorm3d : InstanceNorm {
  explicit InstanceNorm3d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;
};

struct LayerNormLayerOptions {
  double eps = 1e-5;
  bool elementwise_affine = true;  ///< has weight and bias
};

/// layer_norm over the last dimensions, which have the shape `normalized_shape`.
struct LayerNorm : Module {
  using Options = LayerNormLayerOptions;

  explicit LayerNorm(const Shape& normalized_shape, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Shape normalized_shape;
  const Options options;
  Tensor weight, bias;  ///< normalized_shape or undefined
};

struct RMSNormLayerOptions {
  std::optional<double> eps = {};  ///< see RMSNormOptions
  bool elementwise_affine = true;  ///< has a weight
};

/// rms_norm over the last dimensions, which have the shape `normalized_shape`.
struct RMSNorm : Module {
  using Options = RMSNormLayerOptions;

  explicit RMSNorm(const Shape& normalized_shape, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Shape normalized_shape;
  const Options options;
  Tensor weight;  ///< normalized_shape or undefined
};

}  // namespace karyon
