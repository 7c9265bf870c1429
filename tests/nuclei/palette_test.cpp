#include "imageio/palette.h"

#include <karyon/core/random.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "imageio/image.h"
#include "imageio/image_source.h"
#include "raw_tiff.h"
#include "temp_folder.h"

using namespace nuclei;
using namespace nuclei::test;
using karyon::test::TempFolder;

namespace {

/// Colours between which a table of 256 goes in equal steps.
Palette through(const std::vector<std::array<float, 3>>& points) {
  Palette palette(256);
  for (std::size_t i = 0; i < 256; ++i) {
    const float at = static_cast<float>(i) / 255 * static_cast<float>(points.size() - 1);
    const std::size_t before = std::min(static_cast<std::size_t>(at), points.size() - 2);
    for (std::size_t c = 0; c < 3; ++c) {
      const float share = at - static_cast<float>(before);
      palette[i][c] =
          std::round(255 * ((1 - share) * points[before][c] + share * points[before + 1][c])) / 255;
    }
  }
  return palette;
}

std::vector<std::uint16_t> channel(const Palette& palette, std::size_t c) {
  std::vector<std::uint16_t> values;
  for (const auto& colour : palette)
    values.push_back(static_cast<std::uint16_t>(std::lround(colour[c] * 65535)));
  return values;
}

}  // namespace

TEST_CASE("nuclei: look-up tables are told from the palettes of colour pictures", "[nuclei][palette]") {
  const std::array<float, 3> black{0, 0, 0}, white{1, 1, 1}, red{1, 0, 0}, green{0, 1, 0}, blue{0, 0, 1},
      yellow{1, 1, 0}, cyan{0, 1, 1}, magenta{1, 0, 1};
  for (const auto& colour : {red, green, blue, yellow, cyan, magenta, white}) {
    CHECK(kind_of(through({black, colour})) == PaletteKind::rising_lookup);
    CHECK(kind_of(through({white, colour, black})) == PaletteKind::falling_lookup);
  }
  CHECK(kind_of(through({white, black})) == PaletteKind::falling_lookup);
  const Palette fire = through({black,
                                {0.1f, 0, 0.5f},
                                {0.5f, 0, 0.86f},
                                {0.72f, 0, 0.5f},
                                {0.9f, 0.2f, 0},
                                {1, 0.6f, 0},
                                {1, 0.9f, 0.2f},
                                white});
  CHECK(kind_of(fire) == PaletteKind::rising_lookup);
  CHECK(kind_of(std::span(fire).first(90)) == PaletteKind::rising_lookup);  // only what a dark picture uses
  CHECK(kind_of(through({{0, 0.6f, 0.55f},
                         {0.2f, 0.8f, 0.9f},
                         {0.5f, 0.4f, 1},
                         {0.95f, 0.4f, 0.9f},
                         {1, 0.3f, 0.5f},
                         {0.9f, 0, 0.1f}})) == PaletteKind::rising_lookup);  // ice
  CHECK(kind_of(through({{0.27f, 0, 0.33f}, {0.2f, 0.45f, 0.55f}, {0.3f, 0.75f, 0.4f}, {1, 0.9f, 0.15f}})) ==
        PaletteKind::rising_lookup);  // viridis
  CHECK(kind_of(through({blue, cyan, green, yellow, red})) == PaletteKind::rising_lookup);
  Palette limits = through({black, white});
  limits.front() = blue;
  limits.back() = red;
  CHECK(kind_of(limits) == PaletteKind::rising_lookup);  // HiLo

  karyon::Generator random(1);
  const auto share = [&] { return static_cast<float>(random.below(256)) / 255; };
  Palette stained(256), random_colours(256);
  for (auto& colour : stained) {  // between white, pink and violet
    const float dark = share(), violet = share();
    colour = {1 - dark * (0.2f + 0.4f * violet), 1 - dark * (0.6f + 0.2f * violet),
              1 - dark * (0.3f * (1 - violet) + 0.2f)};
  }
  for (auto& colour : random_colours) colour = {share(), share(), share()};
  CHECK(kind_of(stained) == PaletteKind::colours);
  CHECK(kind_of(random_colours) == PaletteKind::colours);
  std::ranges::sort(stained, {}, [](const auto& c) { return 0.3f * c[0] + 0.6f * c[1] + 0.1f * c[2]; });
  CHECK(kind_of(stained) == PaletteKind::colours);  // some programs sort them
  CHECK(kind_of(std::span(stained).first(64)) == PaletteKind::colours);
  std::fill(random_colours.begin() + 8, random_colours.end(), black);  // few colours, padded
  CHECK(kind_of(random_colours) == PaletteKind::colours);
  CHECK(kind_of(Palette{black, white}) == PaletteKind::colours);
  const Palette greys = through({black, white});
  CHECK(kind_of(std::span(greys).first(100)) == PaletteKind::colours);  // the picture's own greys
}

TEST_CASE("nuclei: a picture with a look-up table is one channel of its indices", "[nuclei][palette]") {
  const TempFolder folder;
  const std::array<float, 3> black{0, 0, 0}, white{1, 1, 1}, blue{0, 0, 1};
  const auto read = [&](const Palette& palette, const ReadOptions& options = {}) {
    write_tiff(folder / "a.tif", {.photometric = PHOTOMETRIC_PALETTE,
                                  .pieces = {{0, 1, 100, 255}},
                                  .red = channel(palette, 0),
                                  .green = channel(palette, 1),
                                  .blue = channel(palette, 2)});
    return read_image(folder / "a.tif", options);
  };
  for (const ReadOptions& options : {ReadOptions{}, ReadOptions{.channel = "1"}}) {
    const Image image = read(through({black, blue}), options);
    CHECK(image.channels == 1);
    CHECK(image.values == std::vector<float>{0, 1 / 255.0f, 100 / 255.0f, 1});
    CHECK(image.scale == 255);
  }
  const Image inverted = read(through({white, black}));
  CHECK(inverted.values == std::vector<float>{1, 254 / 255.0f, 155 / 255.0f, 0});
  CHECK(inverted.offset + inverted.scale * inverted[2] == Approx(100));
}
