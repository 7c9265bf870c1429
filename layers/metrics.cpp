#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/metrics.h>

namespace karyon {
namespace {

double ratio(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

void check_alike(const char* op, const Tensor& prediction, const Tensor& target) {
  const bool alike =
      prediction.dtype() == target.dtype() || (is_index(prediction.dtype()) && is_index(target.dtype()));
  check(prediction.shape() == target.shape() && alike, op, ": expects a target like the prediction ",
        prediction.dtype(), prediction.shape(), ", got ", target.dtype(), target.shape());
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

namespace {

double ratio_or_one(std::int64_t part, std::int64_t whole) { return whole == 0 ? 1 : ratio(part, whole); }

}  // namespace

double ConfusionCounts::precision() const {
  return ratio_or_one(true_positives, true_positives + false_positives);
}
double ConfusionCounts::recall() const {
  return ratio_or_one(true_positives, true_positives + false_negatives);
}
double ConfusionCounts::specificity() const {
  return ratio_or_one(true_negatives, true_negatives + false_positives);
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

double topk_accuracy(const Tensor& scores, const Tensor& target, std::int64_t k) {
  check(scores.dim() == 2 && is_floating(scores.dtype()),
        "topk_accuracy: expects floating scores [N, C], got ", scores.dtype(), scores.shape());
  const std::int64_t n = scores.size(0), classes = scores.size(1);
  check(is_index(target.dtype()) && target.shape() == Shape{n},
        "topk_accuracy: expects an i64 or i32 target [", n, "], got ", target.dtype(), target.shape());
  check(k >= 1, "topk_accuracy: expects k of 1 or more, got ", k);
  const std::vector<double> values = scores.to_vector<double>();
  std::int64_t right = 0, row = 0;
  for (const std::int64_t wanted : target.to_vector<std::int64_t>()) {
    check(wanted >= 0 && wanted < classes, "topk_accuracy: target ", wanted, " of ", classes, " classes");
    const double* score = values.data() + row++ * classes;
    std::int64_t higher = 0;
    for (std::int64_t c = 0; c < classes; ++c)
      higher += score[c] > score[wanted] || (score[c] == score[wanted] && c < wanted);
    right += higher < k;
  }
  return ratio(right, n);
}

ConfusionMatrix::ConfusionMatrix(std::int64_t classes, std::int64_t ignore_index)
    : classes_(classes), ignore_index_(ignore_index) {
  check(classes >= 1 && classes <= 10000, "ConfusionMatrix: expects 1 to 10000 classes, got ", classes);
  reset();
}

void ConfusionMatrix::reset() { counts_.assign(static_cast<std::size_t>(classes_ * classes_), 0); }

void ConfusionMatrix::update(const Tensor& prediction, const Tensor& target) {
  check(is_index(prediction.dtype()), "ConfusionMatrix: expects i64 or i32 class indices, got ",
        prediction.dtype());
  check_alike("ConfusionMatrix", prediction, target);
  const auto predicted = prediction.to_vector<std::int64_t>(), wanted = target.to_vector<std::int64_t>();
  std::vector<std::int64_t> counts = counts_;  // unchanged, should a class be refused
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == ignore_index_) continue;
    for (const std::int64_t c : {predicted[i], wanted[i]})
      check(c >= 0 && c < classes_, "ConfusionMatrix: class ", c, " of ", classes_);
    ++counts[static_cast<std::size_t>(wanted[i] * classes_ + predicted[i])];
  }
  counts_ = std::move(counts);
}

Tensor ConfusionMatrix::counts() const { return tensor(counts_, {classes_, classes_}, {.dtype = i64}); }

ConfusionMatrix::Class ConfusionMatrix::of(std::int64_t c) const {
  Class out{.both = counts_[static_cast<std::size_t>(c * classes_ + c)], .predicted = 0, .wanted = 0};
  for (std::int64_t other = 0; other < classes_; ++other) {
    out.predicted += counts_[static_cast<std::size_t>(other * classes_ + c)];
    out.wanted += counts_[static_cast<std::size_t>(c * classes_ + other)];
  }
  return out;
}

template <class F>
std::vector<double> ConfusionMatrix::each(F share) const {
  std::vector<double> out;
  for (std::int64_t c = 0; c < classes_; ++c) out.push_back(share(of(c)));
  return out;
}

double ConfusionMatrix::accuracy() const {
  std::int64_t right = 0;
  for (std::int64_t c = 0; c < classes_; ++c) right += of(c).both;
  return ratio(right, std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}));
}

std::vector<double> ConfusionMatrix::precision() const {
  return each([](const Class& c) { return ratio(c.both, c.predicted); });
}
std::vector<double> ConfusionMatrix::recall() const {
  return each([](const Class& c) { return ratio(c.both, c.wanted); });
}
std::vector<double> ConfusionMatrix::f1() const {
  return each([](const Class& c) { return ratio(2 * c.both, c.predicted + c.wanted); });
}
std::vector<double> ConfusionMatrix::iou() const {
  return each([](const Class& c) { return ratio(c.both, c.predicted + c.wanted - c.both); });
}

double nan_mean(const std::vector<double>& values) {
  MeanMetric mean;
  for (const double v : values)
    if (!std::isnan(v)) mean.update(v);
  return mean.value();
}

namespace {

// Of each distinct score, from the highest on: how many positives and negatives have it.
struct Step {
  double score;
  std::int64_t positives, negatives;
};
std::vector<Step> steps_of(const char* op, const Tensor& scores, const Tensor& target) {
  check(is_floating(scores.dtype()), op, ": expects floating scores, got ", scores.dtype());
  check(target.dtype() == boolean && target.shape() == scores.shape(), op, ": expects a bool target ",
        scores.shape(), ", got ", target.dtype(), target.shape());
  const std::vector<double> values = scores.to_vector<double>();
  const auto wanted = target.to_vector<bool>();
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (const double v : values) check(!std::isnan(v), op, ": a score is NaN");
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  std::vector<Step> out;
  for (const std::size_t i : order) {
    if (out.empty() || out.back().score != values[i]) out.push_back({values[i], 0, 0});
    ++(wanted[i] ? out.back().positives : out.back().negatives);
  }
  return out;
}

}  // namespace

double auroc(const Tensor& scores, const Tensor& target) {
  double positives = 0, negatives = 0, area = 0;
  for (const Step& step : steps_of("auroc", scores, target)) {
    const auto p = static_cast<double>(step.positives), n = static_cast<double>(step.negatives);
    area += n * (positives + p / 2);
    positives += p;
    negatives += n;
  }
  return area / (positives * negatives);
}

double average_precision(const Tensor& scores, const Tensor& target) {
  double positives = 0, predicted = 0, area = 0;
  for (const Step& step : steps_of("average_precision", scores, target)) {
    const auto p = static_cast<double>(step.positives);
    positives += p;
    predicted += p + static_cast<double>(step.negatives);
    area += p * positives / predicted;
  }
  return area / positives;
}

void MeanMetric::update(double value, double weight) {
  check(weight >= 0, "MeanMetric: expects a weight >= 0, got ", weight);
  if (weight == 0) return;
  sum_ += weight * value;
  weight_ += weight;
}

RunningAverage::RunningAverage(double decay) : decay_(decay) {
  check(decay >= 0 && decay < 1, "RunningAverage: expects a decay in [0, 1), got ", decay);
}

void RunningAverage::update(double value) {
  sum_ = decay_ * sum_ + (1 - decay_) * value;
  weight_ = decay_ * weight_ + (1 - decay_);
}

double RunningAverage::value() const { return sum_ / weight_; }

}  // namespace karyon
