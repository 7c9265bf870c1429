#pragma once
#include <karyon/core/ops/norm.h>
#include <karyon/layers/module.h>

namespace karyon {

struct BatchNorm2dLayerOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of a batch in the running statistics
  bool affine = true;     ///< has weight and bias
  bool relu = false;      ///< max(., 0) on the result, in the same pass over memory
};

/// batch_norm of images [N, H, W, C]: by the batch while training, by the running statistics in evaluation.
struct BatchNorm2d : Module {
  using Options = BatchNorm2dLayerOptions;

  explicit BatchNorm2d(std::int64_t num_features, const Options& options = {});
  Tensor forward(Tensor x) override;

  const Options options;
  Tensor weight, bias;               ///< [C] or undefined
  Tensor running_mean, running_var;  ///< [C]
  Tensor num_batches_tracked;        ///< i64 scalar, kept for PyTorch's state dicts
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

  const std::int64_t num_groups;
  const Options options;
  Tensor weight, bias;  ///< [C] or undefined
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

  const Shape normalized_shape;
  const Options options;
  Tensor weight, bias;  ///< normalized_shape or undefined
};

}  // namespace karyon
