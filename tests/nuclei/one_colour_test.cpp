#include "imageio/one_colour.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <limits>
#include <memory>
#include <string>

#include <karyon/core/random.h>

#include "dataset/synthetic.h"
#include "imageio/label_image.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;

namespace {

using Colour = std::array<float, 3>;

Image cells() {
  Image image = make_synthetic(5, 96, 80, Style::fluorescence).image;
  for (float& v : image) v = static_cast<float>(static_cast<int>(v * 255 + 0.5f)) / 255;
  return image;
}

/// Grey as shades of a colour, in 8 bits.
Image tinted(const Image& grey, const Colour& colour) {
  Image image(grey.width, grey.height, 3);
  for (std::size_t i = 0; i < image.size(); ++i)
    image[i] = static_cast<float>(static_cast<int>(grey[i / 3] * 255 * colour[i % 3] + 0.5f)) / 255;
  return image;
}

std::unique_ptr<ImageSource> read(const Image& image) {
  return in_one_channel(std::make_unique<ImageRows>(image));
}

bool stays_as_it_is(const Image& image) {
  const auto source = read(image);
  return source->header().channels == image.channels && source->note().empty() &&
         read_all(*source).values == image.values;
}

}  // namespace

TEST_CASE("nuclei: a channel that was saved in a colour is that channel", "[nuclei][colour]") {
  const Image grey = cells();
  for (const auto& [name, colour] : {std::pair("red", Colour{1, 0, 0}),
                                     {"green", {0, 1, 0}},
                                     {"blue", {0, 0, 1}},
                                     {"cyan", {0, 1, 1}},
                                     {"magenta", {1, 0, 1}},
                                     {"yellow", {1, 1, 0}},
                                     {"orange", {1, 0.5f, 0}},
                                     {"blue", {0.2f, 0.35f, 1}}}) {
    const Image image = tinted(grey, colour);
    const auto source = read(image);
    INFO(name);
    CHECK(source->note() == "one channel in " + std::string(name) + ": read as one channel");
    CHECK(source->header().channels == 1);
    CHECK(source->header().scale == 255);
    CHECK(read_all(*source).values == grey.values);
    // Rows from the middle, as a window needs them.
    std::vector<float> rows(static_cast<std::size_t>(grey.width) * 40);
    source->read(30, 40, rows.data());
    CHECK(std::equal(rows.begin(), rows.end(), grey.row(30)));
  }
}

TEST_CASE("nuclei: a colour is known in spite of a JPEG's noise", "[nuclei][colour]") {
  const Image grey = cells();
  karyon::Generator generator(3);
  for (const Colour& colour : {Colour{0, 0, 1}, Colour{1, 0, 1}, Colour{0.1f, 0.3f, 1}}) {
    Image image = tinted(grey, colour);
    for (float& v : image)
      v = std::clamp(v + static_cast<float>(static_cast<int>(generator.uniform(-6.5, 6.5))) / 255, 0.0f,
                     1.0f);
    CHECK(read(image)->header().channels == 1);
  }
}

TEST_CASE("nuclei: a colour on a camera's offset is one channel, two dyes on it are not",
          "[nuclei][colour]") {
  const Image grey = cells();
  for (const Colour& colour : {Colour{0, 0, 1}, Colour{0, 1, 0}, Colour{0, 1, 1}}) {
    for (const float offset : {0.04f, 0.2f, 0.4f}) {
      Image image = tinted(grey, colour), two = image;
      for (std::size_t i = 0; i < grey.size(); ++i) two[3 * i] = grey[grey.size() - 1 - i] / 2;
      for (Image* each : {&image, &two})
        for (float& v : *each) v = offset + 0.3f * v;
      const auto source = read(image);
      REQUIRE(source->header().channels == 1);
      const Image one = read_all(*source);
      for (std::size_t i = 0; i < grey.size(); ++i) REQUIRE(one[i] == Approx(offset + 0.3f * grey[i]));
      CHECK(stays_as_it_is(two));
    }
  }
  Image tint = tinted(grey, {1, 1, 1});
  for (float& v : tint) v = 0.2f + 0.3f * v;
  CHECK(stays_as_it_is(tint));
}

TEST_CASE("nuclei: a white scale bar does not hide a colour", "[nuclei][colour]") {
  const Image grey = cells();
  for (const auto& [rows, one] : {std::pair(2, true), {6, false}}) {
    Image image = tinted(grey, {0, 0, 1});
    for (int y = 80 - rows; y < 80; ++y)
      for (int x = 40; x < 90; ++x)
        for (int c = 0; c < 3; ++c) image.at(x, y, c) = 1;
    CHECK((read(image)->header().channels == 1) == one);
  }
}

TEST_CASE("nuclei: pictures of several hues, grey ones and stained tissue stay as they are",
          "[nuclei][colour]") {
  const Image grey = cells();
  CHECK(stays_as_it_is(grey));
  CHECK(stays_as_it_is(tinted(grey, {1, 1, 1})));
  CHECK(stays_as_it_is(tinted(grey, {1, 0.9f, 0.8f})));  // a lamp's tint
  CHECK(stays_as_it_is(Image(20, 10, 3)));               // black
  for (const Style style : {Style::stained, Style::mixed})
    CHECK(stays_as_it_is(make_synthetic(7, 90, 70, style).image));

  // A second dye elsewhere, or in a few spots.
  Image two = tinted(grey, {0, 0, 1}), spots = two;
  for (std::size_t i = 0; i < grey.size(); ++i) two[3 * i + 1] = grey[grey.size() - 1 - i] / 2;
  CHECK(stays_as_it_is(two));
  for (int y = 20; y < 23; ++y)
    for (int x = 40; x < 43; ++x) spots.at(x, y, 0) = 0.8f;
  CHECK(stays_as_it_is(spots));
}

TEST_CASE("nuclei: holes do not hide a picture's colour", "[nuclei][colour]") {
  Image image = tinted(cells(), {0, 1, 0});
  image.integers = false;
  for (std::size_t i = 300; i < 600; ++i) image[i] = std::numeric_limits<float>::quiet_NaN();
  const auto source = read(image);
  CHECK(source->header().channels == 1);
  CHECK_FALSE(read_all(*source)[150] == 0);  // still a hole
  std::ranges::fill(image, std::numeric_limits<float>::quiet_NaN());
  CHECK(read(image)->header().channels == 3);
}

TEST_CASE("nuclei: files in a colour are read as one channel, masks as they are", "[nuclei][colour]") {
  const TempFolder folder;
  const Image grey = cells();
  write_png8(folder / "a.png", to_8_bits(tinted(grey, {0, 0, 1})));
  CHECK_THAT(open_image(folder / "a.png")->note(), Contains("blue"));
  std::string note;
  CHECK(read_image(folder / "a.png", {}, &note).values == grey.values);
  CHECK_THAT(note, Contains("one channel in blue"));
  CHECK(read_image(folder / "a.png", {.channel = "3"}).values == grey.values);
  CHECK(read_label_image(folder / "a.png").colours);
}
