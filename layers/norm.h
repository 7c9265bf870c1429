#pragma once
#include <karyon/core/ops/norm.h>
#include <karyon/layers/module.h>

namespace karyon {

struct BatchNorm2dOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< weight of a batch in the running statistics
  bool affine = true;     ///< has weight and bias
  bool relu = false;      ///< max(., 0) on the result, in the same pass over memory
};

/// batch_norm: by the batch while training, by the running statistics in evaluation.
struct BatchNorm2d : Module {
  using Options = BatchNorm2dOptions;

  explicit BatchNorm2d(std::int64_t channels, const Options& options = {});
  Tensor forward(Tensor x) override;
  /// What it does in evaluation, before the ReLU: scale x + shift, [C] each. No gradient flows through them.
  std::pair<Tensor, Tensor> evaluation_affine() const;

  Options options;
  Tensor weight, bias;               // [C] or undefined
  Tensor running_mean, running_var;  // [C]
  Tensor num_batches_tracked;        // i64 scalar, kept for PyTorch's state dicts
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
  bool relu = false;  ///< max(., 0) on the result
};

/// group_norm: [N, ..., C], C divisible by the number of groups.
struct GroupNorm : Module {
  using Options = GroupNormOptions;

  GroupNorm(std::int64_t groups, std::int64_t channels, const Options& options = {});
  Tensor forward(Tensor x) override;

  std::int64_t groups;
  Options options;
  Tensor weight, bias;  // [C] or undefined
};

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;
};

/// layer_norm over the last dimensions, which have the shape `normalized_shape`.
struct LayerNorm : Module {
  using Options = LayerNormOptions;

  explicit LayerNorm(const Shape& normalized_shape, const Options& options = {});
  Tensor forward(Tensor x) override;

  Shape normalized_shape;
  Options options;
  Tensor weight, bias;  // normalized_shape or undefined
};

}  // namespace karyon
