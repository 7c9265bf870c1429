#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/metrics.h>

namespace karyon {
namespace {

double ratio(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

void check_alike(const char* op, const Tensor& prediction, const Tensor& target) {
  check(prediction.shape() == target.shape() && prediction.dtype() == target.dtype(), op,
        ": expects a target like the prediction ", prediction.dtype(), prediction.shape(), ", got ",
        target.dtype(), target.shape());
}

}  // namespace

ConfusionCounts& ConfusionCounts::operator+=(const ConfusionCounts& other) {
  true_positives += other.true_positives;
  false_positives += other.false_positives;
  false_negatives += other.false_negatives;
  true_negatives += other.true_negatives;
  return *this;
}

double ConfusionCounts::accuracy() const {
  const std::int64_t right = true_positives + true_negatives;
  return ratio(right, right + false_positives + false_negatives);
}

double ConfusionCounts::dice() const {
  const std::int64_t wrong = false_positives + false_negatives;
  return true_positives + wrong == 0 ? 1 : ratio(2 * true_positives, 2 * true_positives + wrong);
}

double ConfusionCounts::iou() const {
  const std::int64_t either = true_positives + false_positives + false_negatives;
  return either == 0 ? 1 : ratio(true_positives, either);
}

ConfusionCounts confusion_counts(const Tensor& prediction, const Tensor& target) {
  check(prediction.dtype() == boolean, "confusion_counts: expects bool, got ", prediction.dtype());
  check_alike("confusion_counts", prediction, target);
  const Tensor predicted = prediction.to(Device::cpu()), wanted = target.to(Device::cpu());
  const bool *p = predicted.data<bool>(), *t = wanted.data<bool>();
  std::int64_t counts[2][2] = {};
  for (std::int64_t i = 0; i < predicted.numel(); ++i) ++counts[p[i]][t[i]];
  return {.true_positives = counts[1][1],
          .false_positives = counts[1][0],
          .false_negatives = counts[0][1],
          .true_negatives = counts[0][0]};
}

double pixel_accuracy(const Tensor& prediction, const Tensor& target) {
  check_alike("pixel_accuracy", prediction, target);
  return ratio(sum(eq(prediction, target)).item<std::int64_t>(), prediction.numel());
}

}  // namespace karyon
