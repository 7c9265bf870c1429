#include "segment.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "random.h"

using namespace nuclei;

namespace {

/// '#' is certain nucleus, anything else background; rows separated by spaces.
std::vector<float> probability(const std::string& drawing) {
  std::vector<float> values;
  for (const char c : drawing) {
    if (c != ' ') values.push_back(c == '#' ? 1.0f : 0.0f);
  }
  return values;
}

/// '.' is background, letters are labels from 'a' = 1.
LabelMap labels(int width, int height, const std::string& drawing) {
  LabelMap map{width, height, {}};
  for (const char c : drawing) {
    if (c != ' ') map.labels.push_back(c == '.' ? 0 : c - 'a' + 1);
  }
  return map;
}

constexpr ComponentOptions kRaw{.min_area = 1, .fill_holes = false};

/// The definition, by recursion without recursion: flood each unvisited pixel in scan order.
LabelMap flood_fill(const std::vector<float>& probability, int width, int height) {
  LabelMap map{width, height, std::vector<std::int32_t>(probability.size())};
  std::int32_t next = 0;
  for (int start = 0; start < width * height; ++start) {
    std::vector<int> open{start};
    bool fresh = true;
    while (!open.empty()) {
      const int i = open.back();
      open.pop_back();
      if (probability[static_cast<std::size_t>(i)] <= 0.5f || map.labels[static_cast<std::size_t>(i)] != 0) {
        continue;
      }
      if (fresh) ++next;
      fresh = false;
      map.labels[static_cast<std::size_t>(i)] = next;
      if (i % width > 0) open.push_back(i - 1);
      if (i % width < width - 1) open.push_back(i + 1);
      if (i >= width) open.push_back(i - width);
      if (i < width * (height - 1)) open.push_back(i + width);
    }
  }
  return map;
}

LabelMap random_blobs(Random& random, int width, int height, int count) {
  LabelMap map{width, height, {}};
  map.labels.resize(static_cast<std::size_t>(width * height));
  for (int label = 1; label <= count; ++label) {
    const double cx = random.uniform(0, width), cy = random.uniform(0, height);
    const double radius = random.uniform(1, 6);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        auto& pixel = map.labels[static_cast<std::size_t>(y * width + x)];
        if (pixel == 0 && std::hypot(x - cx, y - cy) < radius) pixel = label;
      }
    }
  }
  return map;
}

double weight_by_definition(const LabelMap& map, int x, int y, const BorderWeightOptions& options) {
  if (map.labels[static_cast<std::size_t>(y * map.width + x)] != 0) return 1;
  std::map<std::int32_t, double> distances;
  for (int v = 0; v < map.height; ++v) {
    for (int u = 0; u < map.width; ++u) {
      const std::int32_t label = map.labels[static_cast<std::size_t>(v * map.width + u)];
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

TEST_CASE("nuclei: components join along edges, not corners", "[nuclei][segment]") {
  const LabelMap map = label_components(probability("##... ##..# ..##. #.##."), 5, 4, kRaw);
  CHECK(map == labels(5, 4, "aa... aa..b ..cc. d.cc."));
}

TEST_CASE("nuclei: a U is one component", "[nuclei][segment]") {
  CHECK(label_components(probability("#.# #.# ###"), 3, 3, kRaw) == labels(3, 3, "a.a a.a aaa"));
}

TEST_CASE("nuclei: components agree with flood fill", "[nuclei][segment]") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const int width = 1 + static_cast<int>(random.below(30));
    const int height = 1 + static_cast<int>(random.below(30));
    const double density = random.uniform(0.2, 0.8);
    std::vector<float> values(static_cast<std::size_t>(width * height));
    for (float& value : values) value = random.uniform() < density ? 0.9f : 0.1f;
    REQUIRE(label_components(values, width, height, kRaw) == flood_fill(values, width, height));
  }
}

TEST_CASE("nuclei: specks are dropped and labels stay dense", "[nuclei][segment]") {
  const auto values = probability("#..## ...## ##...");
  CHECK(label_components(values, 5, 3, {.min_area = 2}) == labels(5, 3, "...aa ...aa bb..."));
  CHECK(label_components(values, 5, 3, {.min_area = 5}) == labels(5, 3, "..... ..... ....."));
}

TEST_CASE("nuclei: small holes are filled, large and open ones are not", "[nuclei][segment]") {
  const auto ring = probability(".###. .#.#. .###. .....");
  CHECK(label_components(ring, 5, 4, {.min_area = 1}) == labels(5, 4, ".aaa. .aaa. .aaa. ....."));
  CHECK(label_components(ring, 5, 4, {.min_area = 1, .max_hole_area = 0}) ==
        labels(5, 4, ".aaa. .a.a. .aaa. ....."));
  // Background is 8-connected, so a missing corner is a way out; so is the image edge.
  CHECK(label_components(probability(".##. #.#. ###."), 4, 3, {.min_area = 1}) ==
        labels(4, 3, ".aa. a.a. aaa."));
  CHECK(label_components(probability("#.# ###"), 3, 2, {.min_area = 1}) == labels(3, 2, "a.a aaa"));
}

TEST_CASE("nuclei: the threshold is exclusive, NaN is background", "[nuclei][segment]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const LabelMap map = label_components({0.5f, 0.51f, nan}, 3, 1, kRaw);
  CHECK(map.labels == std::vector<std::int32_t>{0, 1, 0});
}

TEST_CASE("nuclei: maps and images that disagree in size are refused", "[nuclei][segment]") {
  CHECK_THROWS_AS(label_components({1, 1}, 3, 1), Failure);
  CHECK_THROWS_AS(label_components({}, 0, 0), Failure);
  CHECK_THROWS_AS(border_weights(labels(2, 1, "a."), {.sigma = 0}), Failure);
}

TEST_CASE("nuclei: touching nuclei are pulled apart", "[nuclei][segment]") {
  CHECK(separate_touching(labels(6, 2, "aaabbb aaabbb")) == labels(6, 2, "aa..bb aa..bb"));
  CHECK(separate_touching(labels(3, 2, "aa. ..b")) == labels(3, 2, "aa. ..b"));
  CHECK(separate_touching(labels(1, 4, "a a b b")) == labels(1, 4, "a . . b"));
}

TEST_CASE("nuclei: gaps close again, wide ones stay", "[nuclei][segment]") {
  CHECK(close_gaps(labels(6, 2, "aa..bb aa..bb")) == labels(6, 2, "aaabbb aaabbb"));
  CHECK(close_gaps(labels(5, 1, "a...b")) == labels(5, 1, "a...b"));
  CHECK(close_gaps(labels(4, 1, ".aa.")) == labels(4, 1, ".aa."));
  const LabelMap slanted = labels(6, 4, "aaaaab aaaabb aaabbb aabbbb");
  CHECK(close_gaps(separate_touching(slanted)) == slanted);
}

TEST_CASE("nuclei: border weights follow the definition", "[nuclei][segment]") {
  Random random(2);
  for (const BorderWeightOptions options : {BorderWeightOptions{}, {.w0 = 3, .sigma = 2}}) {
    for (int round = 0; round < 12; ++round) {
      const int width = 1 + static_cast<int>(random.below(48));
      const int height = 1 + static_cast<int>(random.below(48));
      const LabelMap map = random_blobs(random, width, height, static_cast<int>(random.below(14)));
      const std::vector<float> weights = border_weights(map, options);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const double expected = weight_by_definition(map, x, y, options);
          REQUIRE(weights[static_cast<std::size_t>(y * width + x)] == Approx(expected).margin(1.2e-4));
        }
      }
    }
  }
}

TEST_CASE("nuclei: border weights are 1 without a gap between nuclei", "[nuclei][segment]") {
  CHECK(border_weights(labels(3, 1, "a..")) == std::vector<float>{1, 1, 1});
  CHECK(border_weights(labels(3, 1, "a.b"), {.w0 = 0}) == std::vector<float>{1, 1, 1});
  CHECK(border_weights(labels(3, 1, "a.b"))[1] == Approx(1 + 10 * std::exp(-4.0 / 50)));
}
