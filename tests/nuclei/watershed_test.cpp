#include "instances/watershed.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "common/error.h"
#include "dataset/synthetic.h"
#include "evaluation/metrics.h"
#include "instances/components.h"
#include "training/targets.h"

using namespace nuclei;

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

TEST_CASE("nuclei: a watershed tells touching nuclei apart", "[nuclei][watershed]") {
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
    Mask inside(64, 40);
    std::ranges::transform(truth, inside.begin(), [](std::int32_t label) { return label > 0; });
    CHECK(max_label(label_components(inside)) == 1);
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

TEST_CASE("nuclei: perfect maps of drawn nuclei give the nuclei back", "[nuclei][watershed]") {
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
