#include "instances/measure.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "common/error.h"
#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_labels;
using nuclei::test::flat_image;

TEST_CASE("nuclei: nuclei are measured in the units of the file", "[nuclei][measure]") {
  const LabelMap map = drawn_labels(4, 3, "aa.. a..c ...c");
  Image image(4, 3);
  image[0] = 1;
  image[7] = image[11] = 0.6f;
  const std::vector<Nucleus> nuclei = measure(map, image);
  REQUIRE(nuclei.size() == 2);  // label 2 does not occur
  CHECK(nuclei[0].label == 1);
  CHECK(nuclei[0].area == 3);
  CHECK(nuclei[0].cx == Approx(1.0 / 3));
  CHECK(nuclei[0].cy == Approx(1.0 / 3));
  CHECK(nuclei[0].mean_intensity == Approx(85));
  CHECK(nuclei[0].total_intensity == Approx(255));
  CHECK(nuclei[0].min_intensity == Approx(0).margin(1e-9));
  CHECK(nuclei[0].max_intensity == Approx(255));
  CHECK(nuclei[0].std_intensity == Approx(255 * std::sqrt(2.0) / 3));
  CHECK((nuclei[0].x0 == 0 && nuclei[0].y0 == 0 && nuclei[0].x1 == 2 && nuclei[0].y1 == 2));
  CHECK(nuclei[1].label == 3);
  CHECK((nuclei[1].x0 == 3 && nuclei[1].y0 == 1 && nuclei[1].x1 == 4 && nuclei[1].y1 == 3));
  CHECK(nuclei[1].mean_intensity == 153);

  image.scale = 65535;
  CHECK(measure(map, image)[0].mean_intensity == Approx(21845));
  image.integers = false;
  image.scale = 10;
  image.offset = -4;
  CHECK(measure(map, image)[0].mean_intensity == Approx(10.0 / 3 - 4));
  const Image rgb{1, 1, 3, {1, 0.6f, 0}};
  CHECK(measure(drawn_labels(1, 1, "a"), rgb)[0].mean_intensity == 136);
}

TEST_CASE("nuclei: intensities of an integer image are its integers", "[nuclei][measure]") {
  const LabelMap map = drawn_labels(3, 1, "aaa");
  for (int value = 1; value < 65535; value += 77) {
    const float pixel = static_cast<float>(value) / 65535.0f;
    Image image = flat_image(3, 1, pixel);
    image.scale = 65535;
    const Nucleus n = measure(map, image).at(0);
    CHECK(n.min_intensity == value);
    CHECK(n.max_intensity == value);
    CHECK(n.total_intensity == 3 * value);
  }
  // Values of floats lie where they lie, and a colour's are means of channels.
  Image image{3, 1, 1, {0.25f, 0.5f, 0.75f}};
  image.scale = 1;
  image.integers = false;
  CHECK(measure(map, image).at(0).min_intensity == 0.25);
  CHECK(measure(drawn_labels(1, 1, "a"), Image{1, 1, 3, {1, 0, 0}}).at(0).max_intensity == 85);
}

TEST_CASE("nuclei: shapes have the measures of scikit-image", "[nuclei][measure]") {
  // Values of skimage.measure.regionprops (0.26): perimeter, axes, eccentricity, orientation (turned to
  // degrees from the x axis), solidity.
  struct Shape {
    int width, height;
    const char* drawing;
    double perimeter, major, minor, eccentricity, orientation, solidity;
  };
  const Shape shapes[] = {
      {5, 3, "aaaaa aaaaa aaaaa", 12.0, 5.656854249492381, 3.265986323710904, 0.816496580927726, 0.0, 1.0},
      {5, 5, ".aaa. aaaaa aaaaa aaaaa .aaa.", 13.65685424949238, 5.0896720822428145, 5.0896720822428145, 0.0,
       45.0, 1.0},
      {5, 5, "a.... aa... aaa.. aaaa. aaaaa", 13.65685424949238, 6.110100926607787, 3.5276684147527884,
       0.816496580927726, -44.99999999999999, 1.0},
      {5, 5, "..aaa .aaaa aaaa. aaa.. aa...", 13.071067811865476, 6.6332495807108, 2.979093821953246,
       0.8934738130160584, 45.0, 1.0},
      {1, 1, "a", 0.0, 0.0, 0.0, 0.0, 45.0, 1.0},
      {6, 1, "aaaaaa", 4.0, 6.831300510639732, 0.0, 1.0, 0.0, 1.0},
      {1, 3, "a a a", 1.0, 3.265986323710904, 0.0, 1.0, 90.0, 1.0},
      {5, 4, "aaaaa a...a a...a aaaaa", 14.0, 6.4142698058981855, 5.18238775634773, 0.5892556509887896, 0.0,
       0.7},
      {8, 6, "aaa..... aaaa.... .aaaa... ..aaaa.. ...aaaaa ....aaaa", 18.106601717798213, 9.931430955504323,
       3.132271319744652, 0.9489622324979807, -38.05141184249232, 0.9230769230769231},
      {7, 4, "aaaaaaa aa..... aa..... aa.....", 11.0, 8.32541523109608, 3.560284667032506, 0.9039488975863991,
       22.29682688334549, 0.6842105263157895},
      {14, 9,
       ".....aaaaa.... ...aaaaaaaa... ..aaaaaaaaaa.. .aaaaaaaaaaaa. aaaaaaaaaaaaa. aaaaaaaaaaaaaa "
       ".aaaaaaaaaaaaa ..aaaaaaaaaa.. ....aaaaaa....",
       34.384776310850235, 13.104437921879098, 8.918952151243285, 0.7326501157398387, -0.2738238355824478,
       0.9479166666666666},
  };
  for (const Shape& s : shapes) {
    const LabelMap map = drawn_labels(s.width, s.height, s.drawing);
    const Nucleus n = measure(map, flat_image(s.width, s.height, 0.5f)).at(0);
    INFO(s.drawing);
    CHECK(n.perimeter == Approx(s.perimeter).margin(1e-9));
    CHECK(n.major_axis == Approx(s.major).margin(1e-9));
    CHECK(n.minor_axis == Approx(s.minor).margin(1e-6));
    CHECK(n.eccentricity == Approx(s.eccentricity).margin(1e-9));
    if (s.major > s.minor + 1e-9) CHECK(n.orientation == Approx(s.orientation).margin(1e-6));
    CHECK(n.solidity == Approx(s.solidity));
  }
}

TEST_CASE("nuclei: holes are not measured, and what is all holes was not seen", "[nuclei][measure]") {
  constexpr float hole = std::numeric_limits<float>::quiet_NaN();
  Image image{4, 2, 1, {0.2f, hole, 0.6f, hole, 0.4f, hole, hole, hole}};
  LabelMap map = drawn_labels(4, 2, "aa.c aa.c");
  const std::vector<Nucleus> nuclei = measure(map, image);
  REQUIRE(nuclei.size() == 2);
  CHECK(nuclei[0].area == 4);
  CHECK(nuclei[0].cx == 0.5);
  CHECK(nuclei[0].mean_intensity == 76.5);
  CHECK(nuclei[0].min_intensity == 51);
  CHECK(nuclei[0].max_intensity == 102);
  CHECK(nuclei[0].total_intensity == 153);
  CHECK(nuclei[0].std_intensity == 25.5);
  CHECK(std::isnan(nuclei[1].mean_intensity));
  drop_unseen(map, 1, image.values.data());
  CHECK(map == drawn_labels(4, 2, "aa.. aa.."));
  const Image colour{1, 1, 3, {0.2f, hole, 0.2f}};
  CHECK(std::isnan(measure(drawn_labels(1, 1, "a"), colour).at(0).max_intensity));
}

TEST_CASE("nuclei: an image of another size is not measured", "[nuclei][measure]") {
  CHECK_THROWS_AS(measure(drawn_labels(2, 1, "a."), Image{3, 1, 1, {0, 0, 0}}), Failure);
}
