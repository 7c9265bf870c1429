#include "contour.h"

#include <catch2/catch.hpp>
#include <string>

using namespace nuclei;

namespace {

LabelMap map_of(const std::vector<std::string>& rows) {
  LabelMap map{static_cast<int>(rows[0].size()), static_cast<int>(rows.size()), {}};
  for (const std::string& row : rows) {
    for (const char c : row) map.labels.push_back(c == '.' ? 0 : c - 'a' + 1);
  }
  return map;
}

/// Twice the area inside, in pixels; the sign tells the direction.
int doubled_area(const Contour& contour) {
  int sum = 0;
  for (std::size_t i = 0; i < contour.points.size(); ++i) {
    const Contour::Point &a = contour.points[i], &b = contour.points[(i + 1) % contour.points.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum / 4;
}

}  // namespace

TEST_CASE("nuclei: the contour of one pixel is a diamond around it", "[nuclei][contour]") {
  const std::vector<Contour> contours = trace_contours(map_of({"...", ".a.", "..."}));
  REQUIRE(contours.size() == 1);
  REQUIRE(contours[0].points.size() == 4);
  CHECK((contours[0].points[0].x == 3 && contours[0].points[0].y == 2));
  CHECK(doubled_area(contours[0]) == 1);
}

TEST_CASE("nuclei: touching nuclei, parts and holes have a contour each", "[nuclei][contour]") {
  CHECK(trace_contours(map_of({"aabb", "aabb"})).size() == 2);
  CHECK(trace_contours(map_of({"a..", ".a.", "..a"})).size() == 3);  // they meet at corners only
  const std::vector<Contour> ring = trace_contours(map_of({"aaa", "a.a", "aaa"}));
  REQUIRE(ring.size() == 2);
  CHECK(doubled_area(ring[0]) > 0);
  CHECK(doubled_area(ring[1]) < 0);
  CHECK(trace_contours(map_of({"...."})).empty());
}

TEST_CASE("nuclei: a straight side is one line", "[nuclei][contour]") {
  const std::vector<Contour> contours = trace_contours(map_of({"aaaaaaaa", "aaaaaaaa", "aaaaaaaa"}));
  REQUIRE(contours.size() == 1);
  CHECK(contours[0].points.size() <= 9);
  // The area less its four corners, an eighth of a pixel each.
  CHECK(doubled_area(contours[0]) == 2 * 24 - 1);
}
