#include "output/render.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "common/error.h"
#include "drawing.h"

using namespace nuclei;
using nuclei::test::flat_image;

namespace {

using Color = std::array<int, 3>;

Color color(const Picture& picture, int x, int y) {
  return {picture.at(x, y, 0), picture.at(x, y, 1), picture.at(x, y, 2)};
}

bool is_grey(const Color& c) { return c[0] == c[1] && c[1] == c[2]; }

Image flat(int width, int height) { return flat_image(width, height, 0.1f); }

void fill(LabelMap& map, int x0, int y0, int x1, int y1, std::int32_t label) {
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) map.at(x, y) = label;
  }
}

}  // namespace

TEST_CASE("nuclei: contrast is stretched to the full range, colours keep their order", "[nuclei][render]") {
  Image image(20, 10);
  for (std::size_t i = 0; i < 200; ++i) image[i] = 0.1f + 0.001f * static_cast<float>(i);
  const Picture picture = overlay(image, LabelMap(20, 10));
  REQUIRE(picture.size() == 600);
  CHECK(color(picture, 0, 0) == Color{0, 0, 0});
  CHECK(color(picture, 19, 9) == Color{255, 255, 255});
  CHECK(std::ranges::is_sorted(picture));
}

TEST_CASE("nuclei: outlines are the inner border of each nucleus", "[nuclei][render]") {
  LabelMap map(12, 12);
  fill(map, 2, 2, 6, 6, 1);
  fill(map, 6, 2, 10, 6, 2);
  const Picture picture = overlay(flat(12, 12), map);
  for (int y = 0; y < 12; ++y) {
    for (int x = 0; x < 12; ++x) {
      const bool nucleus = x >= 2 && x < 10 && y >= 2 && y < 6;
      const bool inside = y > 2 && y < 5 && (x == 3 || x == 4 || x == 7 || x == 8);
      INFO(x << ", " << y);
      CHECK(is_grey(color(picture, x, y)) == (!nucleus || inside));
    }
  }
  CHECK(color(picture, 5, 3) != color(picture, 6, 3));  // touching nuclei differ
}

TEST_CASE("nuclei: the image edge is no outline, large images get a thicker one", "[nuclei][render]") {
  LabelMap map(600, 20);
  fill(map, 0, 0, 10, 20, 1);
  const Picture picture = overlay(flat(600, 20), map);
  CHECK(is_grey(color(picture, 0, 5)));
  CHECK(is_grey(color(picture, 7, 0)));
  CHECK(!is_grey(color(picture, 8, 5)));
  CHECK(!is_grey(color(picture, 9, 5)));
  CHECK(is_grey(color(picture, 10, 5)));
}

TEST_CASE("nuclei: every pair of neighbours in a grid of nuclei differs", "[nuclei][render]") {
  constexpr int side = 8, cell = 5;
  LabelMap map(side * cell, side * cell);
  for (int gy = 0; gy < side; ++gy) {
    for (int gx = 0; gx < side; ++gx) {
      fill(map, gx * cell, gy * cell, (gx + 1) * cell, (gy + 1) * cell, gy * side + gx + 1);
    }
  }
  for (const float brightness : {0.1f, 0.9f}) {
    const Picture picture = overlay(flat_image(map.width, map.height, brightness), map);
    for (int gy = 0; gy < side; ++gy) {
      for (int gx = 0; gx + 1 < side; ++gx) {
        const int edge = (gx + 1) * cell, middle = gy * cell + 2;
        CHECK(color(picture, edge - 1, middle) != color(picture, edge, middle));
        CHECK(color(picture, middle, edge - 1) != color(picture, middle, edge));
      }
    }
  }
}

TEST_CASE("nuclei: truth and prediction are told apart", "[nuclei][render]") {
  LabelMap truth(20, 10), predicted(20, 10);
  fill(truth, 2, 2, 8, 8, 1);
  fill(predicted, 2, 2, 7, 8, 1);
  fill(predicted, 12, 2, 16, 6, 2);
  const Picture picture = overlay(flat(20, 10), predicted, &truth);
  const Color both = color(picture, 2, 4), missed = color(picture, 7, 4);
  const Color invented = color(picture, 12, 4);
  CHECK((both[0] > 200 && both[1] > 200 && both[2] < 100));
  CHECK((missed[0] < 100 && missed[1] > 200));
  CHECK((invented[0] > 200 && invented[1] < 100));
}

TEST_CASE("nuclei: an overlay of another size is refused", "[nuclei][render]") {
  const LabelMap small(3, 3);
  CHECK_THROWS_AS(overlay(flat(4, 3), small), Failure);
  CHECK_THROWS_AS(overlay(flat(4, 3), LabelMap(4, 3), &small), Failure);
  CHECK_THROWS_AS(overlay({}, {}), Failure);
}

TEST_CASE("nuclei: holes are drawn as background", "[nuclei][render]") {
  for (const bool light : {false, true}) {
    Image image(20, 10);
    for (std::size_t i = 0; i < 200; ++i) {
      const float v = i < 150 ? 0.1f : 0.1f + 0.004f * static_cast<float>(i);
      image[i] = i % 20 == 0 ? std::numeric_limits<float>::quiet_NaN() : light ? 1 - v : v;
    }
    const int background = light ? 255 : 0;
    CHECK(color(overlay(image, LabelMap(20, 10)), 0, 4) == Color{background, background, background});
  }
  CHECK(color(overlay(flat_image(3, 3, std::numeric_limits<float>::infinity()), LabelMap(3, 3)), 1, 1) ==
        Color{255, 255, 255});
}
