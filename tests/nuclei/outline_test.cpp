#include "instances/outline.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include <karyon/core/random.h>

#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_labels;

namespace {

Nucleus whole_map(const LabelMap& map, int label = 1) {
  return {.label = label, .x0 = 0, .y0 = 0, .x1 = map.width, .y1 = map.height};
}

/// Even-odd rule at the middle of a pixel.
bool inside(const Ring& ring, int x, int y) {
  bool odd = false;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Corner a = ring[i], b = ring[(i + 1) % ring.size()];
    if (a.x == b.x && a.x > x && std::min(a.y, b.y) <= y && y < std::max(a.y, b.y)) odd = !odd;
  }
  return odd;
}

}  // namespace

TEST_CASE("nuclei: a square has four corners", "[nuclei][outline]") {
  const LabelMap map = drawn_labels(4, 4, ".... .aa. .aa. ....");
  const auto parts = outline(map, {.label = 1, .x0 = 1, .y0 = 1, .x1 = 3, .y1 = 3});
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].outer == Ring{{1, 1}, {3, 1}, {3, 3}, {1, 3}});
  CHECK(parts[0].holes.empty());
  CHECK(doubled_area(parts[0].outer) == 8);
}

TEST_CASE("nuclei: holes and parts, also where they touch at a corner", "[nuclei][outline]") {
  auto parts = outline(drawn_labels(3, 3, "aaa a.a aaa"), whole_map(drawn_labels(3, 3, "aaa a.a aaa")));
  REQUIRE(parts.size() == 1);
  REQUIRE(parts[0].holes.size() == 1);
  CHECK(doubled_area(parts[0].holes[0]) == -2);

  const LabelMap corner = drawn_labels(2, 2, "a. .a");
  parts = outline(corner, whole_map(corner));
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].outer.size() == 4);

  // The hole is open at a corner: a ring that meets itself there is no polygon, so it is a hole.
  const LabelMap open = drawn_labels(3, 3, "aa. a.a aaa");
  parts = outline(open, whole_map(open));
  REQUIRE(parts.size() == 1);
  REQUIRE(parts[0].holes.size() == 1);
  CHECK(doubled_area(parts[0].outer) == 16);
}

TEST_CASE("nuclei: outlines enclose exactly the pixels, and meet no corner twice", "[nuclei][outline]") {
  karyon::Generator random(5);
  for (int round = 0; round < 300; ++round) {
    const int width = 1 + static_cast<int>(random.below(14)), height = 1 + static_cast<int>(random.below(14));
    LabelMap map(width, height);
    for (std::int32_t& label : map) label = random.below(10) < 6 ? 1 : 0;
    const auto parts = outline(map, whole_map(map));
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        int count = 0;
        for (const Part& part : parts) {
          bool in = inside(part.outer, x, y);
          for (const Ring& hole : part.holes) in = in && !inside(hole, x, y);
          count += in;
        }
        REQUIRE(count == map.at(x, y));
      }
    for (const Part& part : parts) {
      REQUIRE(doubled_area(part.outer) > 0);
      const auto simple = [](const Ring& ring) {
        std::set<std::pair<int, int>> corners;
        for (const Corner& c : ring) corners.insert({c.x, c.y});
        return corners.size() == ring.size() && ring.size() >= 4;
      };
      REQUIRE(simple(part.outer));
      for (const Ring& hole : part.holes) REQUIRE((simple(hole) && doubled_area(hole) < 0));
    }
    if (parts.size() > 1) REQUIRE(doubled_area(parts[0].outer) >= doubled_area(parts[1].outer));
    std::int64_t pixels = 0;
    for (const Run& run : column_runs(map, whole_map(map))) {
      pixels += run.length;
      for (int y = run.y; y < run.y + run.length; ++y) REQUIRE(map.at(run.x, y) == 1);
    }
    REQUIRE(pixels == std::ranges::count(map, 1));
  }
}

TEST_CASE("nuclei: cut corners leave out an eighth of a pixel each", "[nuclei][outline]") {
  const auto around = [](const LabelMap& map) {
    return with_cut_corners(outline(map, whole_map(map))[0].outer);
  };
  CHECK(around(drawn_labels(3, 3, "... .a. ...")) == Ring{{3, 2}, {4, 3}, {3, 4}, {2, 3}});
  const Ring wide = around(drawn_labels(8, 3, "aaaaaaaa aaaaaaaa aaaaaaaa"));
  CHECK(wide.size() == 8);  // a straight side is one line
  CHECK(doubled_area(wide) == 4 * (2 * 24 - 1));
}
