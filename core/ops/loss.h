#pragma once
#include <karyon/core/tensor.h>

// Losses. Predictions are f32 or f64; targets have the predictions' dtype, except class indices (i64 or
// i32). bf16 and f16 are cast to f32 first: weights beside them are f32, and so is the loss. Reduced to a
// tensor without dimensions, or not at all (`none`: the input's shape). The mean of nothing is NaN.
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
  double label_smoothing = 0;  ///< the share of the target that all classes get alike (Szegedy et al., 2016)
};
/// Cross entropy of softmax(input) over the last dimension.
///   input   [..., C]
///   target  [...] i64 class indices in [0, C) or ignore_index
/// Differentiable in input. If every target is ignored the mean is 0 / 0, NaN. Throws Error for an index out
/// of range, and unless label_smoothing is in [0, 1].
Tensor cross_entropy(const Tensor& input, const Tensor& target, const CrossEntropyOptions& options = {});

struct NllOptions {
  Tensor weight = {};  ///< [C]: of each class; the mean divides by the sum of the weights used
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
/// The negative log likelihood: -input at the target's class. cross_entropy of what log_softmax returned.
///   input   [..., C]: logarithms of probabilities
///   target  [...] i64 class indices in [0, C) or ignore_index
/// Differentiable in input. Throws Error for an index out of range.
Tensor nll_loss(const Tensor& input, const Tensor& target, const NllOptions& options = {});

struct DiceOptions {
  double smooth = 1;                 ///< added above and below, so that two empty masks agree
  std::int64_t ignore_index = -100;  ///< the class index of pixels that do not count
};
/// 1 - Dice coefficient of sigmoid(input) and target, per image and channel, then averaged:
/// 1 - (2 sum p t + smooth) / (sum p + sum t + smooth)   (Milletari et al., 2016, without the squares).
///   input    [N, ..., C]
///   target   [N, ..., C] in [0, 1]; or [N, ...] i64, class indices in [0, C) or ignore_index: then softmax
///            over the channels takes the place of sigmoid
///   returns  a tensor without dimensions
/// Differentiable in input. Throws Error for an index out of range.
Tensor dice_loss(const Tensor& input, const Tensor& target, const DiceOptions& options = {});

struct TverskyOptions {
  double alpha = 0.3;                ///< weight of what is predicted and not true
  double beta = 0.7;                 ///< weight of what is true and not predicted
  double smooth = 1;                 ///< added above and below
  std::int64_t ignore_index = -100;  ///< the class index of pixels that do not count
};
/// 1 - Tversky index (Salehi, Erdogmus and Gholipour, 2017, "Tversky loss function for image segmentation
/// using 3D fully convolutional deep networks"), per image and channel, then averaged:
/// 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth). Shapes, gradient and errors are dice_loss's, which
/// has alpha = beta = 0.5 and half the smooth.
Tensor tversky_loss(const Tensor& input, const Tensor& target, const TverskyOptions& options = {});

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

struct HuberOptions {
  double delta = 1;
  Reduction reduction = Reduction::mean;
};
/// d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere, for d = input - target (Huber, 1964).
/// Differentiable in both. Throws Error unless delta > 0 and the shapes are the same.
Tensor huber_loss(const Tensor& input, const Tensor& target, const HuberOptions& options = {});

struct SmoothL1Options {
  double beta = 1;
  Reduction reduction = Reduction::mean;
};
/// huber_loss with delta = beta, divided by beta; l1_loss if beta is 0. Throws Error unless beta >= 0.
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, const SmoothL1Options& options = {});

struct KlDivOptions {
  bool log_target = false;  ///< the target has logarithms of probabilities
  bool batchmean = false;   ///< returns the sum divided by the first size, whatever `reduction` says
  Reduction reduction = Reduction::mean;
};
/// The Kullback-Leibler divergence, target (log target - input), element by element.
///   input, target  the same shape; input has logarithms of probabilities
/// Differentiable in input.
Tensor kl_div(const Tensor& input, const Tensor& target, const KlDivOptions& options = {});

struct BinaryCrossEntropyOptions {
  Tensor weight = {};  ///< of each element; broadcasts to the input's shape
  Reduction reduction = Reduction::mean;
};
/// Binary cross entropy of probabilities; logarithms below -100 count as -100. bce_with_logits is more exact.
///   input, target  the same shape, in [0, 1]
/// Differentiable in input. Throws Error if an input is not in [0, 1].
Tensor binary_cross_entropy(const Tensor& input, const Tensor& target,
                            const BinaryCrossEntropyOptions& options = {});

// Losses that follow the Jaccard index (intersection over union) of whole masks: its Lovasz extension
// (Berman, Triki and Blaschko, 2018, "The Lovasz-Softmax loss: a tractable surrogate for the optimization of
// the intersection-over-union measure in neural networks").

struct LovaszHingeOptions {
  bool per_image = true;  ///< the mean over images of their losses; else one loss of all pixels
};
/// The Lovasz hinge loss of binary masks.
///   input    [N, ...]: logits
///   target   the input's shape and dtype: above 0.5 is true
///   returns  a tensor without dimensions
/// Differentiable in input.
Tensor lovasz_hinge_loss(const Tensor& input, const Tensor& target, const LovaszHingeOptions& options = {});

struct LovaszSoftmaxOptions {
  bool per_image = false;            ///< the mean over images of their losses; else one loss of all pixels
  bool all_classes = false;          ///< the mean over all classes; else over those that the target has
  std::int64_t ignore_index = -100;  ///< the class index of pixels that do not count
};
/// The Lovasz softmax loss of softmax(input) over the last dimension.
///   input    [N, ..., C]: logits
///   target   [N, ...] i64 class indices in [0, C) or ignore_index
///   returns  a tensor without dimensions; 0 if no pixel counts
/// Differentiable in input. Throws Error for an index out of range.
Tensor lovasz_softmax_loss(const Tensor& input, const Tensor& target,
                           const LovaszSoftmaxOptions& options = {});

}  // namespace karyon
