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
