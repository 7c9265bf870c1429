#pragma once
#include <karyon/core/tensor.h>

// How well predictions agree with the truth. They are not differentiable; core/ops/loss.h has the losses.
namespace karyon {

/// Pixels of a mask by what is predicted and what is true. The counts of several images add up.
struct ConfusionCounts {
  std::int64_t true_positives = 0, false_positives = 0, false_negatives = 0, true_negatives = 0;

  ConfusionCounts& operator+=(const ConfusionCounts& other);
  friend bool operator==(const ConfusionCounts&, const ConfusionCounts&) = default;

  /// The share of pixels that are predicted right; NaN without pixels.
  double accuracy() const;
  /// 2 TP / (2 TP + FP + FN), also called F1 (Dice, 1945); 1 if both masks are empty.
  double dice() const;
  /// TP / (TP + FP + FN), also called Jaccard index; 1 if both masks are empty.
  double iou() const;
};

///   prediction, target  bool, of the same shape
/// Throws Error for other dtypes or shapes that differ.
ConfusionCounts confusion_counts(const Tensor& prediction, const Tensor& target);

/// The share of equal elements: of masks, or of class indices as argmax gives them. NaN without elements.
///   prediction, target  the same dtype (any) and shape
double pixel_accuracy(const Tensor& prediction, const Tensor& target);

}  // namespace karyon
