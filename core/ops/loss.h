#pragma once
#include <karyon/core/tensor.h>

// Losses. Predictions are f32 or f64; targets have the predictions' dtype, except class indices (i64). bf16
// is cast to f32 first: weights beside it are f32, and so is the loss. Reduced to a tensor without
// dimensions, or not at all (`none`: the input's shape). The mean of nothing is NaN.
namespace karyon {

enum class Reduction { mean, sum, none };

struct BceOptions {
  Tensor weight = {};      ///< of each element; broadcasts to the input's shape
  Tensor pos_weight = {};  ///< of the positive answers; broadcasts to the input's shape
  Reduction reduction = Reduction::mean;
};
/// Binary cross entropy of sigmoid(input), without overflow for any input. The mean divides by the number
/// of elements (not by the weights), as torch.nn.functional.binary_cross_entropy_with_logits.
///   input, target  the same shape; target in [0, 1]
/// Differentiable in input.
Tensor bce_with_logits(const Tensor& input, const Tensor& target, const BceOptions& options = {});

struct CrossEntropyOptions {
  Tensor weight = {};  ///< [C]: of each class; the mean divides by the sum of the weights used
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
/// Cross entropy of softmax(input) over the last dimension.
///   input   [..., C]
///   target  [...] i64 class indices in [0, C) or ignore_index
/// Differentiable in input. If every target is ignored the mean is 0 / 0, NaN. Throws Error for an index out
/// of range.
Tensor cross_entropy(const Tensor& input, const Tensor& target, const CrossEntropyOptions& options = {});

struct DiceOptions {
  double smooth = 1;  ///< added above and below, so that two empty masks agree
};
/// 1 - Dice coefficient of sigmoid(input) and target, per image and channel, then averaged:
/// 1 - (2 sum p t + smooth) / (sum p + sum t + smooth)   (Milletari et al., 2016, without the squares).
///   input, target  [N, ..., C]; target in [0, 1]
///   returns        a tensor without dimensions
/// Differentiable in input.
Tensor dice_loss(const Tensor& input, const Tensor& target, const DiceOptions& options = {});

struct FocalOptions {
  double alpha = 0.25;  ///< weight of the positive class; negative: no class weights
  double gamma = 2;
  Reduction reduction = Reduction::mean;
};
/// Binary focal loss of sigmoid(input) (Lin et al., 2017): BCE scaled by (1 - p_correct)^gamma.
///   input, target  the same shape; target in [0, 1]
/// Differentiable in input.
Tensor focal_loss(const Tensor& input, const Tensor& target, const FocalOptions& options = {});

/// (input - target)^2 and |input - target|; the same shape. Differentiable in both; the gradient of
/// |0| is 0.
Tensor mse_loss(const Tensor& input, const Tensor& target, Reduction reduction = Reduction::mean);
Tensor l1_loss(const Tensor& input, const Tensor& target, Reduction reduction = Reduction::mean);

}  // namespace karyon
