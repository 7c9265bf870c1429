#include "instances/components.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include <karyon/core/random.h>

#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_labels;

namespace {

/// '#' is inside, anything else outside; rows separated by spaces.
Mask mask(int width, int height, const std::string& drawing) {
  std::vector<std::uint8_t> values;
  for (const char c : drawing)
    if (c != ' ') values.push_back(c == '#');
  return {width, height, 1, values};
}

/// The definition: flood each unvisited pixel in scan order.
LabelMap flood_fill(const Mask& mask) {
  LabelMap map(mask.width, mask.height);
  std::int32_t next = 0;
  const auto reach = [&](const auto& self, int x, int y) -> bool {
    if (!map.contains(x, y) || !mask.at(x, y) || map.at(x, y) != 0) return false;
    map.at(x, y) = next + 1;
    self(self, x - 1, y), self(self, x + 1, y), self(self, x, y - 1), self(self, x, y + 1);
    return true;
  };
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) next += reach(reach, x, y);
  return map;
}

}  // namespace

TEST_CASE("nuclei: components join along edges, not corners", "[nuclei][components]") {
  const LabelMap map = label_components(mask(5, 4, "##... ##..# ..##. #.##."));
  CHECK(map == drawn_labels(5, 4, "aa... aa..b ..cc. d.cc."));
}

TEST_CASE("nuclei: corners join components where they are asked to", "[nuclei][components]") {
  const Components parts = connect(mask(5, 4, "##... ##..# ..##. #.##."), true);
  CHECK(parts.map == drawn_labels(5, 4, "aa... aa..a ..aa. b.aa."));
  CHECK(std::vector<int>(parts.area.begin(), parts.area.end()) == std::vector<int>{10, 9, 1});
}

TEST_CASE("nuclei: a U is one component", "[nuclei][components]") {
  CHECK(label_components(mask(3, 3, "#.# #.# ###")) == drawn_labels(3, 3, "a.a a.a aaa"));
}

TEST_CASE("nuclei: components agree with flood fill", "[nuclei][components]") {
  karyon::Generator random(1);
  for (int round = 0; round < 200; ++round) {
    const int width = 1 + static_cast<int>(random.below(30));
    const int height = 1 + static_cast<int>(random.below(30));
    const double density = random.uniform(0.2, 0.8);
    Mask values(width, height);
    for (std::uint8_t& value : values) value = random.uniform() < density;
    REQUIRE(label_components(values) == flood_fill(values));
  }
}

TEST_CASE("nuclei: specks are dropped and labels stay dense", "[nuclei][components]") {
  const Mask values = mask(5, 3, "#..## ...## ##...");
  CHECK(label_components(values, 2) == drawn_labels(5, 3, "...aa ...aa bb..."));
  CHECK(label_components(values, 5) == drawn_labels(5, 3, "..... ..... ....."));
}

TEST_CASE("nuclei: the typical area is that of most pixels, not of most nuclei") {
  CHECK(typical_area({}) == 0);
  CHECK(typical_area({0, 0}) == 0);
  CHECK(typical_area({7}) == 7);
  CHECK(typical_area({1, 9, 1, 1}) == 9);
  CHECK(typical_area({10, 10, 10, 12, 0}) == 10);
}

TEST_CASE("nuclei: fragments are small nuclei that touch no edge") {
  LabelMap map(7, 6);
  map.at(0, 2) = 1;                                             // at the edge
  map.at(2, 2) = 2;                                             // small
  for (int y = 3; y < 5; ++y) map.at(4, y) = map.at(5, y) = 4;  // large; there is no 3
  map.at(3, 0) = 5, map.at(3, 5) = 6;                           // in the first row, in the last
  const auto dropped = [&](bool top, bool bottom) {
    const PerLabel<std::uint8_t> marks = fragments(map, 4, top, bottom);
    return std::vector<int>(marks.begin() + 1, marks.end());
  };
  CHECK(dropped(true, true) == std::vector<int>{0, 1, 1, 0, 0, 0});
  CHECK(dropped(false, true) == std::vector<int>{0, 1, 1, 0, 1, 0});
  CHECK(dropped(true, false) == std::vector<int>{0, 1, 1, 0, 0, 1});
  drop_fragments(map, 4);
  CHECK(max_label(map) == 4);
  CHECK(map.at(2, 2) == 0);
  CHECK(map.at(4, 3) == 3);  // numbered by their first pixels
  LabelMap nothing;
  drop_fragments(nothing, 4);
  CHECK(nothing.empty());
}
