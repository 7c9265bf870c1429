// PNG, JPEG and BMP files that are decoded row by row, and those that try to take memory.
#include <sys/stat.h>

#include <cstdio>
// clang-format off
#include <jpeglib.h>
// clang-format on
#include <png.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "common/error.h"
#include "imageio/image.h"
#include "imageio/image_source.h"
#include "imageio/label_image.h"
#include "imageio/sample_source.h"
#include "raw_tiff.h"
#include "reason.h"
#include "temp_folder.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

namespace fs = std::filesystem;

Picture smooth(int width, int height, int channels) {
  Picture picture(width, height, channels);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        picture.at(x, y, c) = static_cast<std::uint8_t>((x * 2 + y * 3 + 40 * c) % 511 / 2);
  return picture;
}

void write_interlaced(const fs::path& file, Picture picture) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, out);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width), static_cast<png_uint_32>(picture.height),
               8, picture.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_bytep> rows;
  for (int y = 0; y < picture.height; ++y) rows.push_back(picture.row(y));
  png_write_info(png, info);
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  std::fclose(out);
}

/// Colours are RGB, or four inks as Adobe's programs store them.
void write_jpeg(const fs::path& file, Picture picture, bool progressive = false) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_stdio_dest(&jpeg, out);
  jpeg.image_width = static_cast<JDIMENSION>(picture.width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.height);
  jpeg.input_components = picture.channels;
  jpeg.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : picture.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 98, TRUE);
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < picture.height; ++y) {
    JSAMPROW row = picture.row(y);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::fclose(out);
}

void check_any_order(const fs::path& file, const Image& whole, const ReadOptions& options) {
  const auto source = open_image(file, options);
  CHECK(source->held_bytes() < 200'000);
  std::vector<float> rows(3 * whole.row_size());
  for (const int y : {0, 1, 200, 5, 4, 297, 90, 91, 90}) {
    INFO("row " << y);
    source->read(y, 3, rows.data());
    CHECK(std::equal(rows.begin(), rows.end(), whole.row(y)));
  }
}

/// All channels, also where the whole picture has one hue.
Image read_samples(const fs::path& file) { return read_all(*open_samples(file)); }

std::string little(std::uint32_t value) {
  return {static_cast<char>(value), static_cast<char>(value >> 8), static_cast<char>(value >> 16),
          static_cast<char>(value >> 24)};
}

std::string bmp(std::int32_t width, std::int32_t height, int bits, std::uint32_t compression,
                const std::string& palette, const std::string& pixels) {
  const auto offset = static_cast<std::uint32_t>(54 + palette.size());
  return "BM" + little(offset + static_cast<std::uint32_t>(pixels.size())) + little(0) + little(offset) +
         little(40) + little(static_cast<std::uint32_t>(width)) + little(static_cast<std::uint32_t>(height)) +
         little(1u | static_cast<std::uint32_t>(bits) << 16) + little(compression) + std::string(20, '\0') +
         palette + pixels;
}

}  // namespace

TEST_CASE("nuclei: PNG and JPEG rows are the same in any order, in little memory", "[nuclei][image]") {
  const TempFolder folder;
  const ReadOptions little_memory{.max_memory = 300'000};  // too little to keep the picture
  for (const int channels : {1, 3}) {
    const Picture picture = smooth(250, 300, channels);
    write_png8(folder / "a.png", picture);
    const Image png = read_image(folder / "a.png");
    CHECK(to_8_bits(png) == picture);
    check_any_order(folder / "a.png", png, little_memory);
    write_jpeg(folder / "a.jpg", picture);
    const Image jpeg = read_image(folder / "a.jpg");
    REQUIRE(jpeg.channels == channels);
    double difference = 0;
    for (std::size_t i = 0; i < jpeg.size(); ++i) difference += std::abs(jpeg[i] * 255 - picture[i]);
    CHECK(difference / static_cast<double>(jpeg.size()) < 4);
    check_any_order(folder / "a.jpg", jpeg, {.max_memory = 250'000});
  }
}

TEST_CASE("nuclei: pictures of one pixel, row and column are decoded in every way", "[nuclei][image]") {
  const TempFolder folder;
  for (const auto& [width, height] : {std::pair(1, 1), {65500, 1}, {1, 700}})
    for (const int channels : {1, 3}) {
      INFO(size_text(width, height) << ", " << channels << " channels");
      const Picture picture = smooth(width, height, channels);
      write_png8(folder / "a.png", picture);
      write_interlaced(folder / "i.png", picture);
      for (const char* name : {"a.png", "i.png"}) CHECK(to_8_bits(read_samples(folder / name)) == picture);
      for (const bool progressive : {false, true}) {
        write_jpeg(folder / "a.jpg", picture, progressive);
        const Image jpeg = read_samples(folder / "a.jpg");
        REQUIRE((jpeg.same_size(picture) && jpeg.channels == channels));
        CHECK(std::abs(jpeg[jpeg.size() - 1] * 255 - static_cast<float>(picture[picture.size() - 1])) < 30);
      }
    }
}

TEST_CASE("nuclei: what is decoded as a whole is counted before", "[nuclei][image]") {
  const TempFolder folder;
  const Picture picture = smooth(200, 150, 3);
  write_interlaced(folder / "a.png", picture);
  CHECK(to_8_bits(read_image(folder / "a.png")) == picture);
  CHECK(open_image(folder / "a.png")->held_bytes() == picture.size());
  write_jpeg(folder / "a.jpg", picture);
  write_jpeg(folder / "p.jpg", picture, true);
  CHECK(read_image(folder / "p.jpg").values == read_image(folder / "a.jpg").values);
  CHECK(open_image(folder / "p.jpg")->held_bytes() == picture.size());
  for (const char* name : {"a.png", "p.jpg"})
    CHECK_THAT(reason(folder / name, {.max_memory = 80'000}),
               Contains("as a whole") && Contains("--max-memory"));
  write_file(folder / "a.bmp", bmp(200, 150, 24, 0, "", std::string(3 * 200 * 150, '\0')));
  CHECK_THAT(reason(folder / "a.bmp", {.max_memory = 80'000}), Contains("as a whole"));
  CHECK_THAT(reason(folder / "a.jpg", {.max_memory = 10'000}), Contains("a row of its pixels"));
}

TEST_CASE("nuclei: a progressive JPEG cut anywhere is an error", "[nuclei][image]") {
  const TempFolder folder;
  write_jpeg(folder / "a.jpg", smooth(30, 20, 3), true);
  const std::string whole = read_file(folder / "a.jpg");
  for (std::size_t size = 3; size + 2 < whole.size(); size += 3) {
    write_file(folder / "cut.jpg", whole.substr(0, size));
    INFO("cut to " << size << " of " << whole.size() << " bytes");
    CHECK_THAT(reason(folder / "cut.jpg"), Contains("cut short"));
  }
}

TEST_CASE("nuclei: a JPEG with any byte changed is an error or a picture", "[nuclei][image]") {
  const TempFolder folder;
  for (const bool progressive : {false, true}) {
    write_jpeg(folder / "a.jpg", smooth(20, 20, 3), progressive);
    const std::string whole = read_file(folder / "a.jpg");
    for (std::size_t i = 2; i < whole.size(); ++i)
      for (const int flip : {0x01, 0x80, 0xff}) {
        std::string changed = whole;
        changed[i] = static_cast<char>(changed[i] ^ flip);
        write_file(folder / "changed.jpg", changed);
        try {
          const auto source = open_image(folder / "changed.jpg", {.max_memory = 20'000'000});
          if (source->header().pixels() < 1'000'000) read_all(*source);
        } catch (const Failure&) {
        }
      }
  }
  // A table of more codes than there can be.
  std::string table("\xff\xd8\xff\xc4\x00\x5a\x00", 7);
  write_file(folder / "table.jpg", table + std::string(200, '\xff'));
  CHECK_THAT(reason(folder / "table.jpg"), Contains("damaged"));
}

TEST_CASE("nuclei: inks of a JPEG become colours", "[nuclei][image]") {
  const TempFolder folder;
  Picture inks(16, 16, 4);
  for (std::size_t i = 0; i < inks.pixels(); ++i) {
    const std::uint8_t pixel[] = {255, 128, 0, 200};  // inverted: no cyan, half magenta, all yellow
    std::copy_n(pixel, 4, inks.pixel(i));
  }
  write_jpeg(folder / "a.jpg", inks);
  const Image image = read_samples(folder / "a.jpg");
  CHECK(image.channels == 3);
  CHECK(image[0] * 255 == Approx(200).margin(3));
  CHECK(image[1] * 255 == Approx(100).margin(3));
  CHECK(image[2] * 255 == Approx(0).margin(3));
}

TEST_CASE("nuclei: a BMP whose header does not fit the file is refused", "[nuclei][image]") {
  const TempFolder folder;
  const auto failure = [&](const std::string& bytes) {
    write_file(folder / "a.bmp", bytes);
    return reason(folder / "a.bmp");
  };
  const std::string palette(1024, '\0'), pixels(64, '\0');
  CHECK_THAT(failure(bmp(0, 5, 8, 0, palette, pixels)), Contains("0 x 5"));
  CHECK_THAT(failure(bmp(5, 0, 8, 0, palette, pixels)), Contains("5 x 0"));
  CHECK_THAT(failure(bmp(-5, 5, 8, 0, palette, pixels)), Contains("-5 x 5"));
  CHECK_THAT(failure(bmp(5, INT32_MIN, 8, 0, palette, pixels)), Contains("the limit"));
  CHECK_THAT(failure(bmp(11000, 11000, 1, 0, std::string(8, '\0'), pixels)), Contains("cut short"));
  CHECK_THAT(failure(bmp(8, 8, 8, 1, palette, pixels)), Contains("compression"));
  CHECK_THAT(failure(bmp(8, 8, 7, 0, palette, pixels)), Contains("got 7"));
  write_file(folder / "a.bmp", bmp(4, -2, 8, 0, palette.substr(0, 4) + "\x01\x02\x03" + palette.substr(7),
                                   std::string("\1\0\0\0\0\0\0\0", 8)));
  const Image top_down = read_samples(folder / "a.bmp");
  CHECK((top_down.width == 4 && top_down.height == 2));
  CHECK(top_down[0] * 255 == Approx(3));
  CHECK(top_down[12] == 0);
}

TEST_CASE("nuclei: a BMP has the colours of its palette, whatever its header, and black where it has none",
          "[nuclei][image]") {
  const TempFolder folder;
  const fs::path file = folder / "a.bmp";
  for (const int bits : {1, 4, 8}) {
    const int colours = 1 << bits, all = 256, row = (all * bits / 8 + 3) / 4 * 4;
    std::string old_palette, palette, pixels;
    for (int i = 0; i < colours; ++i) {
      const std::string colour{static_cast<char>(i / 2), static_cast<char>(5 * i),
                               static_cast<char>(255 - i)};
      old_palette += colour;
      palette += colour + '\0';
    }
    // Each byte in turn.
    for (int i = 0; i < row; ++i) pixels += static_cast<char>(i);
    const std::string sizes{'\0', '\1', '\1', '\0', '\1', '\0', static_cast<char>(bits), '\0'};
    write_file(file, bmp(all, 1, bits, 0, palette, pixels));
    const Picture whole = to_8_bits(read_samples(file));
    for (int x = 0; x < all; ++x) {
      const int byte = x * bits / 8, index = byte >> (8 - bits - x * bits % 8) & (colours - 1);
      REQUIRE(whole.at(x, 0, 0) == 255 - index);
      REQUIRE(whole.at(x, 0, 2) == index / 2);
    }
    write_file(file, "BM" + little(0) + little(0) +
                         little(static_cast<std::uint32_t>(26 + old_palette.size())) + little(12) + sizes +
                         old_palette + pixels);
    CHECK(to_8_bits(read_samples(file)) == whole);

    write_file(file, bmp(all, 1, bits, 0, palette.substr(0, 4), pixels));
    const Picture cut = to_8_bits(read_samples(file));
    for (int x = 0; x < all; ++x) CHECK(cut.at(x, 0, 0) == (whole.at(x, 0, 0) == 255 ? 255 : 0));
    write_file(file, bmp(all, 1, bits, 0, "", pixels));
    CHECK_THAT(reason(file), Contains("the colours of its palette are missing"));
  }
}

TEST_CASE("nuclei: the indices of a BMP with a look-up table are the picture", "[nuclei][image]") {
  const TempFolder folder;
  const fs::path file = folder / "a.bmp";
  const auto palette = [](const auto& colour_of) {  // blue, green and red
    std::string colours;
    for (int i = 0; i < 256; ++i) {
      const std::array<int, 3> colour = colour_of(i);
      for (const int value : colour) colours += static_cast<char>(value);
      colours += '\0';
    }
    return colours;
  };
  const std::string pixels{'\1', '\2', '\3', '\0', '\0', '\x64', '\xc8', '\xff'};  // the lower row is first
  write_file(file, bmp(4, 2, 8, 0, palette([](int i) { return std::array{i, i / 2, 0}; }), pixels));
  const Image image = read_image(file);
  CHECK(image.channels == 1);
  CHECK(to_8_bits(image).values == std::vector<std::uint8_t>{0, 100, 200, 255, 1, 2, 3, 0});
  const auto rows = open_image(file, {.max_memory = 80});  // too little to keep the picture
  for (const int y : {1, 0, 1}) {
    std::vector<float> row(4);
    rows->read(y, 1, row.data());
    CHECK(std::equal(row.begin(), row.end(), image.row(y)));
  }
  CHECK(read_image(file, {.channel = "1"}).values == image.values);

  // ImageJ's inverting table: what is measured is what is stored, and value 0 is a mask's background.
  write_file(file, bmp(4, 2, 8, 0, palette([](int i) {
                         return std::array{255 - i, 255 - i, 255 - i};
                       }),
                       pixels));
  const Image inverted = read_image(file);
  CHECK(to_8_bits(inverted).values == std::vector<std::uint8_t>{255, 155, 55, 0, 254, 253, 252, 255});
  CHECK(inverted.offset + inverted.scale * inverted[1] == Approx(100));
  CHECK(read_mask(file, 4, 2).values == std::vector<std::uint8_t>{0, 1, 1, 1, 1, 1, 1, 0});
}

TEST_CASE("nuclei: 16-bit PNG and TIFF are scaled alike", "[nuclei][image]") {
  const TempFolder folder;
  Raster<std::uint16_t> dim(40, 30);
  for (std::size_t i = 0; i < dim.size(); ++i) dim[i] = static_cast<std::uint16_t>(100 + i % 200);
  write_png16(folder / "a.png", dim);
  std::vector<std::vector<std::uint8_t>> rows;
  for (int y = 0; y < 30; ++y)
    rows.push_back(bytes_of(std::vector<std::uint16_t>(dim.row(y), dim.row(y) + 40)));
  write_tiff(folder / "a.tif", {.width = 40, .height = 30, .bits = 16, .pieces = rows});
  const Image png = read_image(folder / "a.png"), tiff = read_image(folder / "a.tif");
  CHECK(png.scale == 511);
  CHECK(tiff.scale == 511);
  CHECK(png.values == tiff.values);
}

TEST_CASE("nuclei: faint floats are scaled as well", "[nuclei][tiff]") {
  const TempFolder folder;
  write_tiff(
      folder / "a.tif",
      {.bits = 32, .format = SAMPLEFORMAT_IEEEFP, .pieces = {bytes_of<float>({0, 0.001f, 0.002f, 0.003f})}});
  const Image image = read_image(folder / "a.tif");
  CHECK(image.scale == 1.0 / 256);
  CHECK(image[3] == 0.003f * 256);
}

TEST_CASE("nuclei: a pipe is no image", "[nuclei][image]") {
  const TempFolder folder;
  REQUIRE(mkfifo((folder / "a.png").c_str(), 0600) == 0);
  CHECK_THAT(reason(folder / "a.png"), Contains("pipe"));
}

TEST_CASE("nuclei: a JPEG of very many scans is refused before they are decoded", "[nuclei][image]") {
  const TempFolder folder;
  write_jpeg(folder / "a.jpg", smooth(30, 20, 3), true);
  const std::string whole = read_file(folder / "a.jpg");
  const std::size_t first = whole.find("\xff\xda");
  std::size_t end = first + 2;  // of the scan's data, in which a 0 follows each 0xff
  while (whole[end] != '\xff' || whole[end + 1] == 0) ++end;
  for (const int times : {100, 600}) {
    std::string many = whole.substr(0, end);
    for (int i = 1; i < times; ++i) many += whole.substr(first, end - first);
    write_file(folder / "many.jpg", many + whole.substr(end));
    CHECK_THAT(reason(folder / "many.jpg"), Contains(times == 600 ? "more than 500 scans" : "no failure"));
  }
}

TEST_CASE("nuclei: channels of a PNG are named where another is asked for", "[nuclei][image]") {
  const TempFolder folder;
  const Picture picture = smooth(8, 6, 3);
  write_png8(folder / "rgb.png", picture);
  write_png8(folder / "grey.png", smooth(8, 6, 1));
  const Image green = read_image(folder / "rgb.png", {.channel = "2"});
  CHECK(green.channels == 1);
  CHECK(green.at(7, 5) * 255 == Approx(picture.at(7, 5, 1)));
  for (const char* channel : {"0", "4", "red", "12"})
    CHECK_THAT(reason(folder / "rgb.png", {.channel = channel}),
               Contains("there is no channel '" + std::string(channel) + "': the image has 3 channels"));
  CHECK_THAT(reason(folder / "grey.png", {.channel = "2"}), Contains("the image has 1 channel"));
}
