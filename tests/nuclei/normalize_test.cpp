#include "inference/normalize.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

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

TEST_CASE("nuclei: flat and tiny pictures normalize to finite values") {
  for (const int size : {1, 3})
    for (const float level : {0.0f, 0.4f, 1.0f})
      CHECK(std::ranges::all_of(normalize(flat_image(size, size, level)),
                                [](float v) { return std::isfinite(v); }));
}
