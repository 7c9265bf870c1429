#include "inference/normalize.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include <karyon/karyon.h>

#include "dataset/synthetic.h"
#include "drawing.h"
#include "temp_folder.h"

using namespace nuclei;
using karyon::test::TempFolder;
using nuclei::test::flat_image;

TEST_CASE("nuclei: light on dark and dark on light look alike to the network") {
  const Image image = make_synthetic(5, 90, 70, Style::fluorescence).image;
  Image inverted = image;
  for (float& v : inverted) v = 1 - v;
  const Raster<float> a = normalize(image), b = normalize(inverted);
  REQUIRE(a.size() == 90 * 70 * 3);
  float worst = 0, lowest = 1, highest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]));
    lowest = std::min(lowest, a[i]);
    highest = std::max(highest, a[i]);
  }
  CHECK(worst < 0.02f);
  CHECK(lowest < 0.05f);
  CHECK(highest > 0.95f);
}

TEST_CASE("nuclei: the noise of a nearly empty picture is not stretched to the brightness of nuclei") {
  constexpr int image_size = 200, radius = 6;  // 113 of 40000 pixels: 0.28 %
  Image image(image_size, image_size);
  std::vector<bool> nucleus;
  karyon::Generator generator(3);
  for (int y = 0; y < image_size; ++y)
    for (int x = 0; x < image_size; ++x) {
      nucleus.push_back((x - 90) * (x - 90) + (y - 60) * (y - 60) <= radius * radius);
      image.at(x, y) = (nucleus.back() ? 0.7f : 0.05f) + static_cast<float>(generator.uniform(0, 0.03));
    }
  Image inverted = image;
  for (float& v : inverted) v = 1 - v;
  for (const Image* shown : {&image, &inverted}) {
    const Raster<float> values = normalize(*shown);
    float noise = 0, weakest = 2;
    for (std::size_t i = 0; i < nucleus.size(); ++i) {
      if (nucleus[i])
        weakest = std::min(weakest, values[3 * i]);
      else
        noise = std::max(noise, std::abs(values[3 * i]));
    }
    CHECK(noise < 0.25f);
    CHECK(weakest > 0.95f);
  }
  // What a file of any size is read for is the same.
  const TempFolder folder;
  write_png8(folder / "a.png", to_8_bits(image));
  const Levels of_file = find_levels(*open_image(folder / "a.png")),
               of_image = find_levels(read_image(folder / "a.png"));
  CHECK(of_file.low == of_image.low);
  CHECK(of_file.middle == of_image.middle);
  CHECK(of_file.high == of_image.high);
}

TEST_CASE("nuclei: contrast is set by the image, whatever its scale") {
  const Image image = make_synthetic(5, 90, 70, Style::fluorescence).image;
  const Raster<float> usual = normalize(image);
  // The values 100 to 300 of 16 bits, and floats far from 0.
  Image dim = image, far = image;
  dim.scale = 65535;
  for (float& v : dim) v = static_cast<float>(static_cast<int>(100 + 200 * v)) / 65535;
  far.integers = false;
  for (float& v : far) v = 0.7f + v / 500;
  for (const Image* shown : {&dim, &far}) {
    const Raster<float> values = normalize(*shown);
    float worst = 0;
    for (std::size_t i = 0; i < usual.size(); ++i) worst = std::max(worst, std::abs(values[i] - usual[i]));
    CHECK(worst < 0.02f);
  }
}

TEST_CASE("nuclei: a picture without contrast stays flat and dark, whatever its background") {
  karyon::Generator generator(3);
  for (const double scale : {255.0, 65535.0, -255.0})
    for (const int background : {3, 130, 250}) {
      // Four levels of noise, mostly at one end.
      Image image(60, 50);
      image.scale = scale;
      for (float& v : image) {
        const double u = generator.uniform(0, 1), noise = background > 200 ? std::sqrt(u) : u * u;
        v = static_cast<float>((background + static_cast<int>(4 * noise)) / std::abs(scale));
      }
      const Raster<float> values = normalize(image);
      CHECK(std::ranges::max(values) < 0.9f);
      CHECK(std::ranges::min(values) > -1e-4f);
    }
}

TEST_CASE("nuclei: holes are left out of the brightness and filled with background") {
  constexpr float hole = std::numeric_limits<float>::quiet_NaN(),
                  infinite = std::numeric_limits<float>::infinity();
  const Image image = make_synthetic(5, 90, 70, Style::fluorescence).image;
  Image inverted = image;
  for (float& v : inverted) v = 1 - v;
  for (const Image* shown : {&image, static_cast<const Image*>(&inverted)}) {
    Image with_holes = *shown;
    const std::size_t from = 20 * 90, holes = 300;
    for (std::size_t i = from; i < from + holes; ++i) with_holes[i] = i % 2 ? hole : -infinite;
    const Levels levels = find_levels(with_holes);
    CHECK(levels.holes == 300);
    CHECK(levels.low >= 0);
    CHECK(levels.high <= 1);
    CHECK(levels.middle == Approx(find_levels(*shown).middle).margin(0.02));
    const Raster<float> values = normalize(with_holes, levels);
    for (std::size_t i = 3 * from; i < 3 * (from + holes); ++i) CHECK(values[i] == 0);
  }
  Image all = image;
  std::ranges::fill(all, hole);
  CHECK(find_levels(all).holes == 90 * 70);
  CHECK(std::ranges::all_of(normalize(all), [](float v) { return v == 0; }));
}

TEST_CASE("nuclei: flat and tiny pictures normalize to finite values") {
  for (const int size : {1, 3})
    for (const float level : {0.0f, 0.4f, 1.0f})
      for (const double scale : {255.0, -255.0}) {  // of either sign: see Image
        Image image = flat_image(size, size, level);
        image.scale = scale;
        CHECK(std::ranges::all_of(normalize(image), [](float v) { return std::isfinite(v); }));
      }
}

TEST_CASE("nuclei: a source that changes between two passes is refused") {
  struct Changing : ImageRows {
    using ImageRows::ImageRows;
    void read(int y, int count, float* pixels) override {
      ImageRows::read(y, count, pixels);
      if (y == 0) value += 0.1f;
      std::fill_n(pixels, static_cast<std::size_t>(count) * 8, value);
    }
    float value = 0;
  };
  const Image image(8, 4);
  Changing source(image);
  CHECK_THROWS_WITH(brightness_quantiles(source, {0.5}), Catch::Contains("changed while it was read"));
}
