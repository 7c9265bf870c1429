#include "evaluation/metrics.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <karyon/core/random.h>

#include "common/error.h"
#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_row;

namespace {

/// The definition spelled out: every pair of nuclei, every pixel, every threshold.
Scores by_definition(const LabelMap& truth, const LabelMap& predicted) {
  const auto nuclei = [](const LabelMap& map) {
    std::set<std::int32_t> found(map.begin(), map.end());
    found.erase(0);
    return found;
  };
  Scores scores;
  const auto true_nuclei = nuclei(truth), predicted_nuclei = nuclei(predicted);
  scores.true_count = static_cast<int>(true_nuclei.size());
  scores.predicted_count = static_cast<int>(predicted_nuclei.size());
  double equal = 0, both = 0, either = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const bool t = truth[i] != 0, p = predicted[i] != 0;
    equal += t == p;
    both += t && p;
    either += t || p;
  }
  scores.accuracy = equal / static_cast<double>(truth.size());
  scores.iou = either > 0 ? both / either : 1;
  scores.dice = either > 0 ? 2 * both / (either + both) : 1;
  for (int k = 0; k < thresholds; ++k) {
    int matches = 0;
    for (const std::int32_t a : true_nuclei) {
      for (const std::int32_t b : predicted_nuclei) {
        double shared = 0, united = 0;
        for (std::size_t i = 0; i < truth.size(); ++i) {
          const bool t = truth[i] == a, p = predicted[i] == b;
          shared += t && p;
          united += t || p;
        }
        matches += shared / united > threshold(k) + 1e-12;
      }
    }
    const int whole = scores.true_count + scores.predicted_count - matches;
    scores.ap[static_cast<std::size_t>(k)] = whole > 0 ? static_cast<double>(matches) / whole : 1;
    scores.bowl += scores.ap[static_cast<std::size_t>(k)] / thresholds;
  }
  return scores;
}

LabelMap random_map(karyon::Generator& random, int width, int height, int labels) {
  LabelMap map(width, height);
  for (int label = 1; label <= labels; ++label) {
    const int x0 = static_cast<int>(random.below(width));
    const int y0 = static_cast<int>(random.below(height));
    for (int y = y0; y < std::min(height, y0 + 5); ++y) {
      for (int x = x0; x < std::min(width, x0 + 5); ++x) map.at(x, y) = label;
    }
  }
  return map;
}

void check_equal(const Scores& a, const Scores& b) {
  REQUIRE(a.accuracy == Approx(b.accuracy));
  REQUIRE(a.iou == Approx(b.iou));
  REQUIRE(a.dice == Approx(b.dice));
  REQUIRE(a.bowl == Approx(b.bowl));
  for (std::size_t k = 0; k < a.ap.size(); ++k) REQUIRE(a.ap[k] == Approx(b.ap[k]));
  REQUIRE(a.true_count == b.true_count);
  REQUIRE(a.predicted_count == b.predicted_count);
}

}  // namespace

TEST_CASE("nuclei: a perfect prediction scores 1, whatever its label numbers", "[nuclei][metrics]") {
  const Scores s = score(drawn_row("aa..bb"), drawn_row("cc..aa"));
  CHECK(s.accuracy == 1);
  CHECK(s.iou == 1);
  CHECK(s.dice == 1);
  CHECK(s.bowl == Approx(1));
  CHECK(s.true_count == 2);
  CHECK(s.predicted_count == 2);
}

TEST_CASE("nuclei: nothing predicted where nothing is scores 1", "[nuclei][metrics]") {
  const Scores s = score(drawn_row("...."), drawn_row("...."));
  CHECK((s.accuracy == 1 && s.iou == 1 && s.dice == 1 && s.bowl == Approx(1)));
}

TEST_CASE("nuclei: a prediction on one side only scores 0", "[nuclei][metrics]") {
  for (const Scores& s :
       {score(drawn_row("aa.."), drawn_row("....")), score(drawn_row("...."), drawn_row("aa.."))}) {
    CHECK(s.accuracy == 0.5);
    CHECK((s.iou == 0 && s.dice == 0 && s.bowl == 0));
  }
}

TEST_CASE("nuclei: a hand-computed case", "[nuclei][metrics]") {
  // One nucleus of 4 found with IoU 3/4, one of 2 missed, one of 1 invented.
  const Scores s = score(drawn_row("aaaa...bb."), drawn_row("aaa...c..."));
  CHECK(s.accuracy == Approx(0.6));
  CHECK(s.iou == Approx(3.0 / 7));
  CHECK(s.dice == Approx(6.0 / 10));
  CHECK(s.ap[0] == Approx(1.0 / 3));  // 0.50: TP 1, FN 1, FP 1
  CHECK(s.ap[4] == Approx(1.0 / 3));  // 0.70
  CHECK(s.ap[5] == 0);                // 0.75: 3/4 is not above it
  CHECK(s.bowl == Approx(5.0 / 30));
}

TEST_CASE("nuclei: an IoU of exactly one half is no match", "[nuclei][metrics]") {
  CHECK(score(drawn_row("aaaa"), drawn_row("aabb")).ap[0] == 0);
  CHECK(score(drawn_row("aaaaa"), drawn_row("aaabb")).ap[0] == Approx(0.5));
}

TEST_CASE("nuclei: merging two nuclei costs both", "[nuclei][metrics]") {
  CHECK(score(drawn_row("aabb"), drawn_row("aaaa")).bowl == 0);
  CHECK(score(drawn_row("aabb"), drawn_row("aaaa")).dice == 1);
}

TEST_CASE("nuclei: scores agree with their definition on random maps", "[nuclei][metrics]") {
  karyon::Generator random(3);
  for (int round = 0; round < 150; ++round) {
    const int width = 4 + static_cast<int>(random.below(20));
    const int height = 4 + static_cast<int>(random.below(20));
    const LabelMap truth = random_map(random, width, height, static_cast<int>(random.below(12)));
    LabelMap predicted = random_map(random, width, height, static_cast<int>(random.below(6)));
    if (round % 2 == 0) {  // mostly right, so that the high thresholds are met as well
      predicted = truth;
      for (std::int32_t& label : predicted) {
        if (random.uniform() < 0.1) label = static_cast<std::int32_t>(random.below(14));
      }
    }
    check_equal(score(truth, predicted), by_definition(truth, predicted));
  }
}

TEST_CASE("nuclei: maps of different size are refused", "[nuclei][metrics]") {
  CHECK_THROWS_AS(score(drawn_row("aa"), drawn_row("aaa")), Failure);
  CHECK_THROWS_AS(score(drawn_row(""), drawn_row("")), Failure);
}

TEST_CASE("nuclei: the mean adds up the counts", "[nuclei][metrics]") {
  const std::vector<Scores> scores{score(drawn_row("aa.b"), drawn_row("aa.b")),
                                   score(drawn_row("aa.."), drawn_row("...."))};
  const Scores m = mean(scores);
  CHECK(m.bowl == Approx(0.5));
  CHECK(m.accuracy == Approx(0.75));
  CHECK(m.ap[9] == Approx(0.5));
  CHECK(m.true_count == 3);
  CHECK(m.predicted_count == 2);
  CHECK_THROWS_AS(mean({}), Failure);
}

TEST_CASE("nuclei: panoptic quality, AJI and count error of a hand-computed case", "[nuclei][metrics]") {
  // IoU 3/4 for one of two true nuclei; one of two found ones is wrong.
  const Scores s = score(drawn_row("aaaa...bb."), drawn_row("aaa...c..."));
  CHECK(s.f1 == Approx(0.5));
  CHECK(s.sq == Approx(0.75));
  CHECK(s.pq == Approx(0.375));
  CHECK(s.aji == Approx(3.0 / (4 + 2 + 1)));
  CHECK(s.count_error == 0);
  // Both true nuclei have the same best partner, which counts with each of them.
  CHECK(score(drawn_row("aabb"), drawn_row("aaaa")).aji == Approx((2.0 + 2) / (4 + 4)));
  const Scores none = score(drawn_row("...."), drawn_row("...."));
  CHECK((none.f1 == 1 && none.sq == 1 && none.pq == 1 && none.aji == 1 && none.count_error == 0));
  const Scores missed = score(drawn_row("aa.b"), drawn_row("...."));
  CHECK((missed.f1 == 0 && missed.sq == 0 && missed.pq == 0 && missed.aji == 0 && missed.count_error == 2));
}

TEST_CASE("nuclei: pooling gives each nucleus the same weight", "[nuclei][metrics]") {
  const std::vector<Scores> scores{score(drawn_row("aa.bb.cc"), drawn_row("aa.bb.cc")),
                                   score(drawn_row("aa......"), drawn_row("........"))};
  const Scores p = pooled(scores), m = mean(scores);
  CHECK(p.ap[0] == Approx(0.75));
  CHECK(m.ap[0] == Approx(0.5));
  CHECK(p.dice == Approx(12.0 / 14));
  CHECK(p.accuracy == Approx(14.0 / 16));
  CHECK(p.f1 == Approx(6.0 / 7));
  CHECK(m.count_error == Approx(0.5));
  CHECK(p.count_error == 1);
  // Pooled, one image is what it is.
  check_equal(pooled(std::span(scores).first(1)), scores[0]);
  CHECK_THROWS_AS(pooled({}), Failure);
}

TEST_CASE("nuclei: bootstrap intervals hold the mean, are repeatable and shrink with more images",
          "[nuclei][metrics]") {
  karyon::Generator random(8);
  std::vector<Scores> few, many;
  for (int i = 0; i < 200; ++i) {
    const LabelMap truth = random_map(random, 20, 20, 6);
    LabelMap found = truth;
    for (std::int32_t& label : found) {
      if (label > 0 && static_cast<int>(random.below(6)) < label) label = 0;
    }
    many.push_back(score(truth, found));
    if (i < 20) few.push_back(many.back());
  }
  const Summary a = summarize(few), b = summarize(many), again = summarize(few);
  for (std::size_t m = 0; m < metrics().size(); ++m) {
    INFO(metrics()[m].key);
    const double mean = metrics()[m].of(a.mean);
    CHECK((a.mean_interval[m].low <= mean && mean <= a.mean_interval[m].high));
    CHECK(again.mean_interval[m].low == a.mean_interval[m].low);
    CHECK(again.pooled_interval[m].high == a.pooled_interval[m].high);
  }
  const double narrow = b.mean_interval[0].high - b.mean_interval[0].low;
  CHECK(narrow < 0.6 * (a.mean_interval[0].high - a.mean_interval[0].low));
  // About what the normal distribution says: 2 * 1.96 standard errors.
  double squares = 0;
  for (const Scores& s : many) squares += (s.bowl - b.mean.bowl) * (s.bowl - b.mean.bowl);
  CHECK(narrow == Approx(2 * 1.96 * std::sqrt(squares / 200 / 200)).epsilon(0.1));
  const Summary one = summarize(std::span(few).first(1));
  CHECK(one.mean_interval[0].low == one.mean_interval[0].high);
}
