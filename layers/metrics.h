#pragma once
#include <cstdint>
#include <vector>

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
  /// TP / (TP + FP): what of the predicted is true. 1 if nothing is predicted.
  double precision() const;
  /// TP / (TP + FN): what of the truth is predicted. 1 if nothing is true.
  double recall() const;
  /// TN / (TN + FP). 1 if everything is true.
  double specificity() const;
};

///   prediction, target  bool, of the same shape
/// Throws Error for other dtypes or shapes that differ.
ConfusionCounts confusion_counts(const Tensor& prediction, const Tensor& target);

/// The share of equal elements: of masks, or of class indices as argmax gives them. NaN without elements.
///   prediction, target  the same dtype (any) and shape
double pixel_accuracy(const Tensor& prediction, const Tensor& target);

/// The share of rows whose target is among the k classes with the highest scores. Among equal scores the first
/// class is higher. NaN without rows.
///   scores  [N, C], f32, f64 or bf16: logits or probabilities
///   target  [N], i64 or i32, from 0 to C - 1
double topk_accuracy(const Tensor& scores, const Tensor& target, std::int64_t k = 1);

/// Pairs of true and predicted class, added up over batches, and what follows from them. A class that is
/// neither true nor predicted has no share: NaN, which means leave out.
class ConfusionMatrix {
 public:
  /// Elements with the target ignore_index do not count.
  explicit ConfusionMatrix(std::int64_t classes, std::int64_t ignore_index = -100);

  ///   prediction  i64 or i32, any shape: class indices, as argmax gives them
  ///   target      i64 or i32, the same shape
  /// Throws Error for an index outside of 0 to classes - 1.
  void update(const Tensor& prediction, const Tensor& target);
  void reset();

  /// [classes, classes], i64: rows are true classes, columns predicted ones.
  Tensor counts() const;
  /// The share of elements that are predicted right; NaN without any.
  double accuracy() const;

  // One value for each class.
  std::vector<double> precision() const;
  std::vector<double> recall() const;
  std::vector<double> f1() const;  ///< also called Dice
  std::vector<double> iou() const;

 private:
  struct Class {
    std::int64_t both, predicted, wanted;
  };
  Class of(std::int64_t c) const;
  template <class F>
  std::vector<double> each(F share) const;

  std::int64_t classes_, ignore_index_;
  std::vector<std::int64_t> counts_;
};

/// The mean of the values that are not NaN: of classes, say. NaN if there are none.
double nan_mean(const std::vector<double>& values);

/// The area under the ROC curve: the probability that a positive has a higher score than a negative, where
/// equal scores count half. NaN unless there are both.
///   scores  any shape, floating: higher means positive. Throws Error for NaN
///   target  bool, the same shape
double auroc(const Tensor& scores, const Tensor& target);

/// The mean precision over the positives, in order of falling score (the area under the curve of precision and
/// recall). Equal scores are one step. NaN without positives. Shapes as for auroc().
double average_precision(const Tensor& scores, const Tensor& target);

/// A mean of numbers that come one by one, each with a weight: the loss of batches by their size, say.
class MeanMetric {
 public:
  void update(double value, double weight = 1);
  /// NaN without weight.
  double value() const { return sum_ / weight_; }
  void reset() { *this = {}; }

 private:
  double sum_ = 0, weight_ = 0;
};

/// An exponential moving average of numbers, without a bias towards the start (as Adam corrects it).
class RunningAverage {
 public:
  /// Throws Error unless decay is in [0, 1).
  explicit RunningAverage(double decay = 0.98);
  void update(double value);
  /// NaN before the first number.
  double value() const;

 private:
  double decay_, sum_ = 0, weight_ = 0;
};

}  // namespace karyon
