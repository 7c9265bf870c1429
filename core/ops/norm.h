#pragma once
#include <optional>
#include <utility>

#include <karyon/core/tensor.h>

namespace karyon {

struct BatchNormOptions {
  bool training = false;  ///< normalize by this batch and update the running statistics
  double momentum = 0.1;  ///< weight of this batch in the running statistics
  double eps = 1e-5;
  bool relu = false;  ///< max(., 0) on the result, in the same pass and without saving more
};

/// Batch normalization over all dimensions but the last (Ioffe and Szegedy, 2015), as
/// torch.nn.functional.batch_norm with channels last.
///   x             [..., C]
///   weight, bias  [C] or undefined (1 and 0)
///   running_mean, running_var  [C]; updated in place when training (the variance unbiased);
///                              may both be undefined, then the batch's own statistics are used
///   returns       x's shape
/// f32, f64, or x bf16 and all that is [C] f32. Differentiable in x, weight and bias. Throws Error when
/// normalizing by a batch of one value per channel.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                  Tensor running_var, const BatchNormOptions& options = {});

/// What batch_norm does in evaluation, as y = scale x + shift.
///   weight, bias, running_mean, running_var  as batch_norm; the last two are defined
///   returns  scale and shift, [C] each
/// No gradient flows through it.
std::pair<Tensor, Tensor> batch_norm_affine(const Tensor& weight, const Tensor& bias,
                                            const Tensor& running_mean, const Tensor& running_var,
                                            double eps);

struct GroupNormOptions {
  double eps = 1e-5;
};

/// Normalization over groups of channels and all positions of one image (Wu and He, 2018).
///   x             [N, ..., C], C divisible by num_groups
///   weight, bias  [C] or undefined (1 and 0)
///   returns       x's shape
/// f32, f64, or x bf16 and weight and bias f32. Differentiable in x, weight and bias. Throws Error if there
/// is nothing to average.
Tensor group_norm(const Tensor& x, std::int64_t num_groups, const Tensor& weight = {},
                  const Tensor& bias = {}, const GroupNormOptions& options = {});

struct InstanceNormOptions {
  double eps = 1e-5;
};

/// Normalization over all positions of each channel of one image (Ulyanov et al., 2016), as
/// torch.nn.functional.instance_norm without running statistics: group_norm with a group for each channel.
///   x             [N, ..., C] with at least 3 dimensions
///   weight, bias  [C] or undefined (1 and 0)
///   returns       x's shape
/// f32, f64, or x bf16 and weight and bias f32. Differentiable in x, weight and bias. Throws Error if there
/// is at most one position.
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                     const InstanceNormOptions& options = {});

struct LayerNormOptions {
  double eps = 1e-5;
};

/// Normalization over the last dimensions (Ba et al., 2016).
///   x             [..., normalized_shape]
///   weight, bias  normalized_shape or undefined (1 and 0)
///   returns       x's shape
/// f32, f64, or x bf16 and weight and bias f32. Differentiable in x, weight and bias. Throws Error if there
/// is nothing to average.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, const LayerNormOptions& options = {});

struct RMSNormOptions {
  std::optional<double> eps = {};  ///< the spacing of numbers at 1, if none is given: of f32 for bf16
};

/// x / sqrt(mean(x^2) + eps) weight over the last dimensions (Zhang and Sennrich, 2019), as
/// torch.nn.functional.rms_norm.
///   x        [..., normalized_shape]
///   weight   normalized_shape or undefined (1)
///   returns  x's shape
/// f32, f64, or x bf16 and weight f32. Differentiable in x and weight. Throws Error if there is nothing to
/// average.
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                const RMSNormOptions& options = {});

}  // namespace karyon
