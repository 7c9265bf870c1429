#include "evaluation/evaluation.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "drawing.h"

using namespace nuclei;
using nuclei::test::flat_image;

TEST_CASE("nuclei: Otsu's threshold splits two kinds of brightness", "[nuclei][baseline]") {
  Image image = flat_image(40, 10, 0.2f);
  for (int y = 2; y < 8; ++y) {
    for (int x = 3; x < 9; ++x) image.at(x, y) = 0.8f;
  }
  CHECK(otsu_threshold(image) > 0.2f);
  CHECK(otsu_threshold(image) < 0.8f);
  const LabelMap bright = otsu(image);
  CHECK(max_label(bright) == 1);
  CHECK(std::ranges::count(bright, 1) == 36);
  for (float& value : image) value = 1 - value;  // dark nuclei on light: the smaller side still
  CHECK(otsu(image) == bright);
  CHECK(max_label(otsu(flat_image(4, 4, 0.5f))) == 0);
  CHECK(max_label(all_background(image)) == 0);
  CHECK_THROWS(otsu(Image{}));
}
