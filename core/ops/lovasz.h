#pragma once
#include <karyon/core/tensor.h>

// Losses that follow the Jaccard index (intersection over union) of whole masks: its Lovasz extension. Berman, Triki
// and Blaschko, 2018, "The Lovasz-Softmax loss: a tractable surrogate for the optimization of the
// intersection-over-union measure in neural networks". Predictions are f32, f64, or bf16, which is cast to f32.
namespace karyon {

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
