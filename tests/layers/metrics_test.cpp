#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/random.h>
#include <karyon/layers/metrics.h>

#include "test_device.h"

using namespace karyon;
using Catch::Contains;

TEST_CASE("metrics: counts, Dice and IoU agree with plain loops") {
  Generator generator(6);
  const Tensor p = lt(rand({2, 7, 9, 1}, generator), 0.4), t = lt(rand({2, 7, 9, 1}, generator), 0.6);
  const auto prediction = p.to_vector<bool>(), target = t.to_vector<bool>();
  double both = 0, predicted = 0, wanted = 0, equal = 0;
  for (std::size_t i = 0; i < target.size(); ++i) {
    both += prediction[i] && target[i];
    predicted += prediction[i];
    wanted += target[i];
    equal += prediction[i] == target[i];
  }
  const ConfusionCounts counts = confusion_counts(p.to(test::device()), t.to(test::device()));
  CHECK(static_cast<double>(counts.true_positives) == both);
  CHECK(static_cast<double>(counts.false_positives) == predicted - both);
  CHECK(static_cast<double>(counts.false_negatives) == wanted - both);
  CHECK(counts.true_negatives ==
        p.numel() - counts.true_positives - counts.false_positives - counts.false_negatives);
  CHECK(counts.dice() == Approx(2 * both / (predicted + wanted)));
  CHECK(counts.iou() == Approx(both / (predicted + wanted - both)));
  CHECK(counts.accuracy() == Approx(equal / 126));
  CHECK(pixel_accuracy(p, t) == counts.accuracy());

  ConfusionCounts sum = confusion_counts(p[0], t[0]);
  sum += confusion_counts(p[1], t[1]);
  CHECK(sum == counts);
}

TEST_CASE("metrics: empty masks agree, no pixels have no accuracy, classes count when equal") {
  const Tensor none = zeros({3, 3}, {.dtype = boolean});
  CHECK(confusion_counts(none, none).dice() == 1);
  CHECK(confusion_counts(none, none).iou() == 1);
  CHECK(confusion_counts(none, ones({3, 3}, {.dtype = boolean})).dice() == 0);
  CHECK(std::isnan(ConfusionCounts().accuracy()));
  CHECK(pixel_accuracy(arange(4), tensor({0, 1, 3, 2}, {.dtype = i64})) == 0.5);
  CHECK_THROWS_WITH(confusion_counts(zeros({3}), zeros({3})), Contains("expects bool, got f32"));
  CHECK_THROWS_WITH(confusion_counts(none, zeros({3}, {.dtype = boolean})), Contains("got bool[3]"));
  CHECK_THROWS_AS(pixel_accuracy(arange(3), zeros({3})), Error);
}

TEST_CASE("metrics: precision, recall and specificity") {
  const ConfusionCounts c{
      .true_positives = 6, .false_positives = 2, .false_negatives = 3, .true_negatives = 9};
  CHECK(c.precision() == 0.75);
  CHECK(c.recall() == Approx(6.0 / 9));
  CHECK(c.specificity() == Approx(9.0 / 11));
  CHECK(ConfusionCounts{.false_negatives = 1}.precision() == 1);
  CHECK(ConfusionCounts{.false_positives = 1}.recall() == 1);
}

TEST_CASE("metrics: a confusion matrix adds up batches") {
  ConfusionMatrix matrix(4, 9);
  matrix.update(tensor({0, 1, 2, 1}, {.dtype = i64}).to(test::device()),
                tensor({0, 1, 1, 9}, {.dtype = i64}).to(test::device()));
  matrix.update(tensor({1, 0, 2}, {1, 3}, {.dtype = i64}), tensor({0, 0, 2}, {1, 3}, {.dtype = i64}));
  CHECK(matrix.counts().shape() == Shape{4, 4});
  CHECK(matrix.counts().to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0});
  CHECK(matrix.accuracy() == Approx(4.0 / 6));
  const auto check_class = [](const std::vector<double>& values, double a, double b, double c) {
    REQUIRE(values.size() == 4);
    CHECK(values[0] == Approx(a));
    CHECK(values[1] == Approx(b));
    CHECK(values[2] == Approx(c));
    CHECK(std::isnan(values[3]));
  };
  check_class(matrix.precision(), 1, 0.5, 0.5);
  check_class(matrix.recall(), 2.0 / 3, 0.5, 1);
  check_class(matrix.f1(), 0.8, 0.5, 2.0 / 3);
  check_class(matrix.iou(), 2.0 / 3, 1.0 / 3, 0.5);
  CHECK(nan_mean(matrix.iou()) == Approx(0.5));
  CHECK_THROWS_WITH(matrix.update(tensor({0, 4}, {.dtype = i64}), tensor({0, 0}, {.dtype = i64})),
                    "ConfusionMatrix: class 4 of 4");
  CHECK(matrix.accuracy() == Approx(4.0 / 6));
  matrix.reset();
  CHECK(std::isnan(matrix.accuracy()));
  CHECK(std::isnan(nan_mean({})));
  CHECK_THROWS_WITH(matrix.update(ones({2}), ones({2})),
                    Contains("expects i64 or i32 class indices, got f32"));
}

TEST_CASE("metrics: the target is among the k highest scores") {
  const Tensor scores = tensor({0.1, 0.7, 0.2, 0.5, 0.5, 0, 0.3, 0.1, 0.6}, {3, 3});
  const Tensor target = tensor({2, 1, 1}, {.dtype = i64});
  CHECK(topk_accuracy(scores, target) == 0);
  CHECK(topk_accuracy(scores, target, 2) == Approx(2.0 / 3));
  CHECK(topk_accuracy(scores, target, 3) == 1);
  CHECK(std::isnan(topk_accuracy(zeros({0, 3}), zeros({0}, {.dtype = i64}))));
  CHECK_THROWS_WITH(topk_accuracy(scores, tensor({2, 1, 3}, {.dtype = i64})),
                    Contains("target 3 of 3 classes"));
  CHECK_THROWS_AS(topk_accuracy(scores, target, 0), Error);
}

TEST_CASE("metrics: areas under curves agree with all pairs and with the definition") {
  Generator generator(3);
  const Tensor scores = (rand({40}, generator) * 8).to(i64).to(f64);  // many are equal
  const Tensor target = lt(rand({40}, generator), 0.4);
  const auto s = scores.to_vector<double>();
  const auto t = target.to_vector<bool>();
  double pairs = 0, won = 0, positives = 0, precision = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (!t[i]) continue;
    double higher = 0, right = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      if (!t[j]) pairs += 1, won += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
      if (s[j] >= s[i]) higher += 1, right += t[j];
    }
    positives += 1;
    precision += right / higher;
  }
  CHECK(auroc(scores, target) == Approx(won / pairs));
  CHECK(average_precision(scores.to(test::device()), target.to(test::device())) ==
        Approx(precision / positives));
  // sklearn.metrics.roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) and average_precision_score of the same
  const Tensor four = tensor({0.1, 0.4, 0.35, 0.8}), labels = tensor({0, 0, 1, 1}).to(boolean);
  CHECK(auroc(four, labels) == Approx(0.75));
  CHECK(average_precision(four, labels) == Approx(0.8333333333333333));
  CHECK(std::isnan(auroc(four, zeros({4}, {.dtype = boolean}))));
  CHECK_THROWS_WITH(auroc(tensor({NAN}), ones({1}, {.dtype = boolean})), "auroc: a score is NaN");
  CHECK_THROWS_WITH(auroc(four, ones({4})), Contains("expects a bool target [4], got f32[4]"));
}

TEST_CASE("metrics: means of numbers") {
  MeanMetric mean;
  CHECK(std::isnan(mean.value()));
  mean.update(1, 3), mean.update(5), mean.update(NAN, 0);
  CHECK(mean.value() == 2);
  mean.reset();
  CHECK(std::isnan(mean.value()));
  CHECK_THROWS_AS(mean.update(1, -1), Error);
  RunningAverage average(0.5);
  CHECK(std::isnan(average.value()));
  average.update(4);
  CHECK(average.value() == 4);
  average.update(1);
  CHECK(average.value() == Approx(2));
  CHECK_THROWS_AS(RunningAverage(1), Error);
}
