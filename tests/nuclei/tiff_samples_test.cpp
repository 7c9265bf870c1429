// What a TIFF stores for each pixel: any number of bits, left out pieces, greys either way round.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "imageio/image.h"
#include "imageio/tiff_source.h"
#include "raw_tiff.h"
#include "reason.h"
#include "temp_folder.h"
#include "tiff_pages.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;

namespace {

std::vector<double> stored(SampleSource& source) {
  std::vector<double> all, row(static_cast<std::size_t>(source.header().width));
  for (int y = 0; y < source.header().height; ++y) {
    source.stored(y, 0, row.data());
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// On the file's scale.
std::vector<double> measured(const Image& image) {
  std::vector<double> all;
  for (const float pixel : image) all.push_back(std::round(image.offset + image.scale * pixel));
  return all;
}

/// Integers side by side, the first in the high bits.
std::vector<std::uint8_t> packed(const std::vector<std::uint64_t>& values, int bits) {
  std::vector<std::uint8_t> bytes((values.size() * static_cast<std::size_t>(bits) + 7) / 8);
  std::size_t at = 0;
  for (const std::uint64_t value : values)
    for (int bit = bits - 1; bit >= 0; --bit, ++at)
      bytes[at / 8] = static_cast<std::uint8_t>(bytes[at / 8] | (value >> bit & 1) << (7 - at % 8));
  return bytes;
}

}  // namespace

TEST_CASE("nuclei: packed integers of 1 to 32 bits are read from TIFF", "[nuclei][tiff]") {
  const TempFolder folder;
  for (int bits = 1; bits <= 32; ++bits) {
    INFO(bits << " bits");
    const std::uint64_t most = (std::uint64_t{1} << bits) - 1;
    const std::vector<std::uint64_t> values{0, most, most / 3, 1, most - most / 5, most / 2, 0};
    std::vector<std::uint8_t> row = packed(values, bits);
    if (bits == 16) row = bytes_of<std::uint16_t>({values.begin(), values.end()});
    if (bits == 32) row = bytes_of<std::uint32_t>({values.begin(), values.end()});
    if (bits == 24)  // three bytes in the file's order, which is the machine's
      for (std::size_t i = 0; i < row.size(); i += 3) std::swap(row[i], row[i + 2]);
    write_tiff(folder / "a.tif", {.width = 7, .height = 2, .bits = bits, .pieces = {row, row}});
    std::vector<double> expected(values.begin(), values.end());
    expected.insert(expected.end(), values.begin(), values.end());
    const auto source = open_tiff(folder / "a.tif", {});
    CHECK(stored(*source) == expected);
    if (bits <= 24) CHECK(measured(read_image(folder / "a.tif")) == expected);
    if (bits < 2) continue;
    write_tiff(folder / "a.tif",
               {.width = 7, .height = 1, .bits = bits, .format = SAMPLEFORMAT_INT, .pieces = {row}});
    CHECK(stored(*open_tiff(folder / "a.tif", {}))[1] == -1);
  }
  write_tiff(folder / "a.tif", {.width = 4,
                                .bits = 12,
                                .samples = 3,
                                .photometric = PHOTOMETRIC_RGB,
                                .pieces = {packed({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 4095}, 12)}});
  const auto colours = open_tiff(folder / "a.tif", {});
  std::vector<double> blue(4);
  colours->stored(0, 2, blue.data());
  CHECK(blue == std::vector<double>{3, 6, 9, 4095});
  write_tiff(folder / "a.tif",
             {.bits = 24, .format = SAMPLEFORMAT_IEEEFP, .pieces = {std::vector<std::uint8_t>(12)}});
  CHECK_THAT(reason(folder / "a.tif"), Contains("24 bits") && Contains("save it"));
}

TEST_CASE("nuclei: strips and tiles that a TIFF leaves out are 0", "[nuclei][tiff]") {
  const TempFolder folder;
  const std::vector<std::uint8_t> row{5, 6, 7, 8}, tile(256, 9);
  write_tiff(folder / "strips.tif", {.height = 3, .pieces = {row, {}, row}});
  CHECK(measured(read_image(folder / "strips.tif")) ==
        std::vector<double>{5, 6, 7, 8, 0, 0, 0, 0, 5, 6, 7, 8});
  write_tiff(
      folder / "tiles.tif",
      {.width = 32, .height = 32, .tile_width = 16, .tile_height = 16, .pieces = {tile, {}, {}, tile}});
  const Image image = read_image(folder / "tiles.tif");
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x) CHECK(image.at(x, y) * 255 == Approx((x < 16) == (y < 16) ? 9 : 0));
  write_tiff(folder / "none.tif", {.height = 3, .pieces = {{}, {}, {}}});
  CHECK_THAT(reason(folder / "none.tif"), Contains("missing"));
}

TEST_CASE("nuclei: greys the other way round are measured as they are stored", "[nuclei][tiff]") {
  const TempFolder folder;
  write_tiff(folder / "a.tif", {.photometric = PHOTOMETRIC_MINISWHITE, .pieces = {{0, 55, 200, 255}}});
  Image image = read_image(folder / "a.tif");
  CHECK(image.values == std::vector<float>{1, 200 / 255.0f, 55 / 255.0f, 0});
  CHECK(measured(image) == std::vector<double>{0, 55, 200, 255});
  write_tiff(folder / "a.tif", {.bits = 16,
                                .photometric = PHOTOMETRIC_MINISWHITE,
                                .pieces = {bytes_of<std::uint16_t>({100, 300, 4000, 1954})}});
  image = read_image(folder / "a.tif");
  CHECK(measured(image) == std::vector<double>{100, 300, 4000, 1954});
  CHECK((image[0] > image[1] && image[1] > image[3] && image[3] > image[2]));
}

TEST_CASE("nuclei: what a row or its tiles take is limited and counted", "[nuclei][tiff]") {
  const TempFolder folder;
  const ReadOptions limit{.max_memory = 1'000'000};
  write_tiff(folder / "row.tif",
             {.width = 500'000, .bits = 32, .compression = COMPRESSION_ADOBE_DEFLATE, .pieces = {{1}}});
  CHECK_THAT(reason(folder / "row.tif", limit),
             Contains("a row of its pixels takes 3 MB, the limit is 1 MB"));
  write_tiff(folder / "tiles.tif", {.width = 160,
                                    .height = 160,
                                    .tile_width = 16,
                                    .tile_height = 65536,
                                    .pieces = std::vector<std::vector<std::uint8_t>>(10, {1})});
  CHECK_THAT(reason(folder / "tiles.tif", limit), Contains("a row of its tiles takes 12 MB"));
  write_tiff(folder / "samples.tif", {.width = 1'000'000,
                                      .bits = 64,
                                      .samples = 400,
                                      .format = SAMPLEFORMAT_IEEEFP,
                                      .compression = COMPRESSION_ADOBE_DEFLATE,
                                      .pieces = {{1}}});
  CHECK_THAT(reason(folder / "samples.tif"), Contains("takes 3201 MB"));
  write_tiff(folder / "wide.tif",
             {.width = 160, .height = 16, .tile_width = 1'000'016, .tile_height = 16, .pieces = {{1}}});
  CHECK_THAT(reason(folder / "wide.tif"), Contains("tiles claim"));
  write_tiff(folder / "good.tif",
             {.width = 40,
              .height = 16,
              .tile_width = 16,
              .tile_height = 16,
              .pieces = std::vector<std::vector<std::uint8_t>>(3, std::vector<std::uint8_t>(256))});
  CHECK(open_tiff(folder / "good.tif", limit)->held_bytes() == 4 * 256);
}

TEST_CASE("nuclei: floats of 16 bits are read from TIFF", "[nuclei][tiff]") {
  const TempFolder folder;
  // 0, -0, the smallest, the largest below 1, 1, -2, the largest, infinity, no number.
  const std::vector<std::uint16_t> halves{0, 0x8000, 1, 0x3bff, 0x3c00, 0xc000, 0x7bff, 0x7c00, 0x7e00};
  write_tiff(folder / "a.tif",
             {.width = 9, .bits = 16, .format = SAMPLEFORMAT_IEEEFP, .pieces = {bytes_of(halves)}});
  std::vector<double> values = stored(*open_tiff(folder / "a.tif", {}));
  REQUIRE(values.size() == 9);
  CHECK((std::isnan(values[7]) && std::isnan(values[8])));  // holes, both
  values.resize(7);
  CHECK(values == std::vector<double>{0, 0, 0x1p-24, 1 - 0x1p-11, 1, -2, 65504});
}

TEST_CASE("nuclei: YCbCr in JPEG strips and tiles of a TIFF is read as RGB", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int tile : {0, 16}) {
    // Red rises to the right.
    const auto red = [](int x) { return 40 + 5 * x; };
    const Page page{.width = 32,
                    .height = 16,
                    .samples = 3,
                    .photometric = PHOTOMETRIC_YCBCR,
                    .compression = COMPRESSION_JPEG,
                    .rows_per_strip = 16,
                    .tile = tile,
                    .more = [](TIFF* t) { TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB); },
                    .value = [&](int x, int, int c) { return c == 0   ? red(x)
                                                             : c == 1 ? 90
                                                                      : 200; }};
    write(folder / "a.tif", {page});
    const Image image = read_image(folder / "a.tif");
    REQUIRE(image.channels == 3);
    for (const int x : {3, 14, 27}) {
      CHECK(image.at(x, 9, 0) * 255 == Approx(red(x)).margin(12));
      CHECK(image.at(x, 9, 1) * 255 == Approx(90).margin(12));
      CHECK(image.at(x, 9, 2) * 255 == Approx(200).margin(12));
    }
  }
}

TEST_CASE("nuclei: a palette of 16 bits is refused", "[nuclei][tiff]") {
  const TempFolder folder;
  const std::vector<std::uint16_t> colours(65536);
  write_tiff(folder / "a.tif", {.bits = 16,
                                .photometric = PHOTOMETRIC_PALETTE,
                                .pieces = {bytes_of<std::uint16_t>({1, 2, 3, 4})},
                                .red = colours,
                                .green = colours,
                                .blue = colours});
  CHECK_THAT(reason(folder / "a.tif"), Contains("a palette of at most 256 colours; save it as RGB"));
}
