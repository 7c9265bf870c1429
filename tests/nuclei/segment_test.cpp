#include "instances/segment.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/error.h"
#include "dataset/random.h"
#include "dataset/synthetic.h"
#include "drawing.h"
#include "evaluation/metrics.h"

using namespace nuclei;
using nuclei::test::drawn_labels;

namespace {

/// '#' is certain nucleus, anything else background; rows separated by spaces.
Raster<float> probability(int width, int height, const std::string& drawing) {
  std::vector<float> values;
  for (const char c : drawing) {
    if (c != ' ') values.push_back(c == '#' ? 1.0f : 0.0f);
  }
  return {width, height, 1, values};
}

constexpr ComponentOptions raw{.min_area = 1, .fill_holes = false};

/// The definition: flood each unvisited pixel in scan order.
LabelMap flood_fill(const Raster<float>& probability) {
  LabelMap map(probability.width, probability.height);
  std::int32_t next = 0;
  const auto reach = [&](const auto& self, int x, int y) -> bool {
    if (!map.contains(x, y) || probability.at(x, y) <= 0.5f || map.at(x, y) != 0) return false;
    map.at(x, y) = next + 1;
    self(self, x - 1, y), self(self, x + 1, y), self(self, x, y - 1), self(self, x, y + 1);
    return true;
  };
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) next += reach(reach, x, y);
  return map;
}

LabelMap random_blobs(Random& random, int width, int height, int count) {
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

TEST_CASE("nuclei: components join along edges, not corners", "[nuclei][segment]") {
  const LabelMap map = label_components(probability(5, 4, "##... ##..# ..##. #.##."), raw);
  CHECK(map == drawn_labels(5, 4, "aa... aa..b ..cc. d.cc."));
}

TEST_CASE("nuclei: a U is one component", "[nuclei][segment]") {
  CHECK(label_components(probability(3, 3, "#.# #.# ###"), raw) == drawn_labels(3, 3, "a.a a.a aaa"));
}

TEST_CASE("nuclei: components agree with flood fill", "[nuclei][segment]") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const int width = 1 + static_cast<int>(random.below(30));
    const int height = 1 + static_cast<int>(random.below(30));
    const double density = random.uniform(0.2, 0.8);
    Raster<float> values(width, height);
    for (float& value : values) value = random.uniform() < density ? 0.9f : 0.1f;
    REQUIRE(label_components(values, raw) == flood_fill(values));
  }
}

TEST_CASE("nuclei: specks are dropped and labels stay dense", "[nuclei][segment]") {
  const auto values = probability(5, 3, "#..## ...## ##...");
  CHECK(label_components(values, {.min_area = 2}) == drawn_labels(5, 3, "...aa ...aa bb..."));
  CHECK(label_components(values, {.min_area = 5}) == drawn_labels(5, 3, "..... ..... ....."));
}

TEST_CASE("nuclei: small holes are filled, large and open ones are not", "[nuclei][segment]") {
  const auto ring = probability(5, 4, ".###. .#.#. .###. .....");
  CHECK(label_components(ring, {.min_area = 1}) == drawn_labels(5, 4, ".aaa. .aaa. .aaa. ....."));
  CHECK(label_components(ring, {.min_area = 1, .max_hole_area = 0}) ==
        drawn_labels(5, 4, ".aaa. .a.a. .aaa. ....."));
  // Background is 8-connected, so a missing corner is a way out; so is the image edge.
  CHECK(label_components(probability(4, 3, ".##. #.#. ###."), {.min_area = 1}) ==
        drawn_labels(4, 3, ".aa. a.a. aaa."));
  CHECK(label_components(probability(3, 2, "#.# ###"), {.min_area = 1}) == drawn_labels(3, 2, "a.a aaa"));
}

TEST_CASE("nuclei: the threshold is exclusive, NaN is background", "[nuclei][segment]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const LabelMap map = label_components({3, 1, 1, {0.5f, 0.51f, nan}}, raw);
  CHECK(map.values == std::vector<std::int32_t>{0, 1, 0});
}

TEST_CASE("nuclei: weights that make no sense are refused", "[nuclei][segment]") {
  CHECK_THROWS_AS(border_weights(drawn_labels(2, 1, "a."), {.sigma = 0}), Failure);
}

TEST_CASE("nuclei: borders are marked where two nuclei meet", "[nuclei][segment]") {
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

TEST_CASE("nuclei: depth is 1 in the middle of a nucleus and small at its edge", "[nuclei][segment]") {
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

namespace {

// What a perfect network says of a map.
PixelMaps perfect_maps(const LabelMap& map) {
  const Raster<float> depth = depth_inside(map);
  const Mask border = contact_borders(map);
  PixelMaps maps(map.width, map.height, map_count);
  for (std::size_t i = 0; i < map.size(); ++i) {
    maps.pixel(i)[nucleus_map] = map[i] > 0 ? 0.9f : 0.1f;
    maps.pixel(i)[border_map] = border[i] ? 0.9f : 0.1f;
    maps.pixel(i)[depth_map] = depth[i];
  }
  return maps;
}

}  // namespace

TEST_CASE("nuclei: a watershed tells touching nuclei apart", "[nuclei][segment]") {
  // Two discs that overlap by a lens: one piece of nucleus, two nuclei.
  LabelMap truth(64, 40);
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 64; ++x) {
      const bool a = (x - 22) * (x - 22) + (y - 20) * (y - 20) < 144,
                 b = (x - 42) * (x - 42) + (y - 20) * (y - 20) < 144;
      truth.at(x, y) = a && (!b || x < 32) ? 1 : b ? 2 : 0;
    }
  const LabelMap found = segment(perfect_maps(truth));
  CHECK(max_label(found) == 2);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) wrong += found[i] != truth[i];
  CHECK(wrong <= 16);

  SECTION("which plain components do not") {
    const Raster<float> all(64, 40, 1, {truth.begin(), truth.end()});
    CHECK(max_label(label_components(all)) == 1);
  }
  SECTION("but not where nothing says that there are two") {
    PixelMaps flat = perfect_maps(truth);
    for (std::size_t i = 0; i < flat.pixels(); ++i) {
      flat.pixel(i)[depth_map] = 0.5f;
      flat.pixel(i)[border_map] = 0.1f;
    }
    CHECK(max_label(segment(flat)) == 1);
  }
  SECTION("nor where the valley is shallower than asked for") {
    CHECK(max_label(segment(perfect_maps(truth), {.prominence = 0.9f})) == 1);
  }
  SECTION("specks are dropped and holes closed") {
    PixelMaps maps = perfect_maps(truth);
    maps.at(0, 0, nucleus_map) = maps.at(1, 0, nucleus_map) = 0.9f;
    maps.at(20, 20, nucleus_map) = 0.1f;
    const LabelMap clean = segment(maps);
    CHECK(clean.at(0, 0) == 0);
    CHECK(clean.at(20, 20) == clean.at(18, 20));
    CHECK(max_label(clean) == 2);
  }
  SECTION("other maps are an error") { CHECK_THROWS_AS(segment(PixelMaps(64, 40, 2)), Failure); }
}

TEST_CASE("nuclei: perfect maps of drawn nuclei give the nuclei back", "[nuclei][segment]") {
  std::size_t nuclei = 0, matched = 0;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const LabelMap truth = make_synthetic(seed, 160, 128).truth;
    const LabelMap found = segment(perfect_maps(truth));
    const Scores s = score(truth, found);
    nuclei += static_cast<std::size_t>(s.true_count);
    matched += static_cast<std::size_t>(std::lround(s.ap[4] * s.true_count));  // at IoU 0.7
    CHECK(s.accuracy > 0.999);
  }
  REQUIRE(nuclei > 50);
  CHECK(static_cast<double>(matched) > 0.93 * static_cast<double>(nuclei));
}

TEST_CASE("nuclei: border weights follow the definition", "[nuclei][segment]") {
  Random random(2);
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

TEST_CASE("nuclei: border weights are 1 without a gap between nuclei", "[nuclei][segment]") {
  CHECK(border_weights(drawn_labels(3, 1, "a..")).values == std::vector<float>{1, 1, 1});
  CHECK(border_weights(drawn_labels(3, 1, "a.b"), {.w0 = 0}).values == std::vector<float>{1, 1, 1});
  CHECK(border_weights(drawn_labels(3, 1, "a.b"))[1] == Approx(1 + 10 * std::exp(-4.0 / 50)));
}
