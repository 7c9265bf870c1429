#include "training/targets.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include <karyon/core/random.h>

#include "common/error.h"
#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_labels;

namespace {

LabelMap random_blobs(karyon::Generator& random, int width, int height, int count) {
  LabelMap map(width, height);
  for (int label = 1; label <= count; ++label) {
    const double cx = random.uniform(0, width), cy = random.uniform(0, height);
    const double radius = random.uniform(1, 6);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        std::int32_t& pixel = map.at(x, y);
        if (pixel == 0 && std::hypot(x - cx, y - cy) < radius) pixel = label;
      }
    }
  }
  return map;
}

double weight_by_definition(const LabelMap& map, int x, int y, const BorderWeightOptions& options) {
  if (map.at(x, y) != 0) return 1;
  std::map<std::int32_t, double> distances;
  for (int v = 0; v < map.height; ++v) {
    for (int u = 0; u < map.width; ++u) {
      const std::int32_t label = map.at(u, v);
      if (label == 0) continue;
      const double distance = std::hypot(u - x, v - y);
      const auto [at, added] = distances.try_emplace(label, distance);
      at->second = std::min(at->second, distance);
    }
  }
  double first = std::numeric_limits<double>::infinity(), second = first;
  for (const auto& [label, distance] : distances) {
    if (distance < first) {
      second = std::exchange(first, distance);
    } else {
      second = std::min(second, distance);
    }
  }
  const double sum = first + second;
  return 1 + options.w0 * std::exp(-sum * sum / (2 * options.sigma * options.sigma));
}

}  // namespace

TEST_CASE("nuclei: weights that make no sense are refused", "[nuclei][targets]") {
  CHECK_THROWS_AS(border_weights(drawn_labels(2, 1, "a."), {.sigma = 0}), Failure);
}

TEST_CASE("nuclei: borders are marked where two nuclei meet", "[nuclei][targets]") {
  const auto marked = [](const LabelMap& map) {
    std::string text;
    for (const std::uint8_t b : contact_borders(map)) text += b ? '#' : '.';
    return text;
  };
  CHECK(marked(drawn_labels(8, 1, "aaaabbbb")) == "..####..");
  CHECK(marked(drawn_labels(8, 1, "aaa.bbbb")) ==
        "..###...");  // one pixel apart: each side has one pixel left
  CHECK(marked(drawn_labels(8, 1, "aaa..bbb")) == "...##...");   // two apart: only the gap
  CHECK(marked(drawn_labels(8, 1, "aaa...bb")) == "........");   // further: not at all
  CHECK(marked(drawn_labels(4, 2, "aaaa ....")) == "........");  // one nucleus alone
}

TEST_CASE("nuclei: depth is 1 in the middle of a nucleus and small at its edge", "[nuclei][targets]") {
  const LabelMap map =
      drawn_labels(9, 7, "......... .aaaaabb. .aaaaabb. .aaaaabb. .aaaaabb. .aaaaabb. .........");
  const Raster<float> depth = depth_inside(map);
  CHECK(depth.at(0, 0) == 0);
  CHECK(depth.at(3, 3) == 1);                // 3 steps to the outside on every side
  CHECK(depth.at(1, 1) == Approx(1.0 / 3));  // a corner
  CHECK(depth.at(5, 3) == Approx(1.0 / 3));  // beside the other nucleus
  CHECK(depth.at(6, 3) == 1);                // the other one is two pixels wide: 1 step everywhere
  const Raster<float> all = depth_inside(drawn_labels(2, 2, "aa aa"));
  CHECK(all.values == std::vector<float>(4, 1.0f));  // no outside in sight
}

TEST_CASE("nuclei: border weights follow the definition", "[nuclei][targets]") {
  karyon::Generator random(2);
  for (const BorderWeightOptions options : {BorderWeightOptions{}, {.w0 = 3, .sigma = 2}}) {
    for (int round = 0; round < 12; ++round) {
      const int width = 1 + static_cast<int>(random.below(48));
      const int height = 1 + static_cast<int>(random.below(48));
      const LabelMap map = random_blobs(random, width, height, static_cast<int>(random.below(14)));
      const Raster<float> weights = border_weights(map, options);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const double expected = weight_by_definition(map, x, y, options);
          REQUIRE(weights.at(x, y) == Approx(expected).margin(1.2e-4));
        }
      }
    }
  }
}

TEST_CASE("nuclei: border weights are 1 without a gap between nuclei", "[nuclei][targets]") {
  CHECK(border_weights(drawn_labels(3, 1, "a..")).values == std::vector<float>{1, 1, 1});
  CHECK(border_weights(drawn_labels(3, 1, "a.b"), {.w0 = 0}).values == std::vector<float>{1, 1, 1});
  CHECK(border_weights(drawn_labels(3, 1, "a.b"))[1] == Approx(1 + 10 * std::exp(-4.0 / 50)));
}
