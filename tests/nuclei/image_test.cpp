#include "imageio/image.h"

#include <zlib.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "common/error.h"
#include "imageio/label_image.h"
#include "reason.h"
#include "temp_folder.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

std::string big_endian32(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian32(static_cast<std::uint32_t>(data.size())) + body +
         big_endian32(static_cast<std::uint32_t>(crc));
}

std::string deflated(const std::string& raw) {
  uLongf size = compressBound(static_cast<uLong>(raw.size()));
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
           static_cast<uLong>(raw.size()));
  out.resize(size);
  return out;
}

/// A PNG from its filtered rows; `extra` chunks go before the data.
std::string png(std::uint32_t width, std::uint32_t height, int bit_depth, int color_type,
                const std::string& rows, const std::string& extra = {}) {
  const std::string header = big_endian32(width) + big_endian32(height) + static_cast<char>(bit_depth) +
                             static_cast<char>(color_type) + std::string(3, '\0');
  return std::string("\x89PNG\r\n\x1a\n") + chunk("IHDR", header) + extra + chunk("IDAT", deflated(rows)) +
         chunk("IEND", "");
}

std::vector<std::uint8_t> ramp(std::size_t count) {
  std::vector<std::uint8_t> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::uint8_t>(i * 37 + 5);
  return values;
}

}  // namespace

TEST_CASE("nuclei: 8-bit PNG round trip in every channel count", "[nuclei][image]") {
  const TempFolder folder;
  for (int channels = 1; channels <= 4; ++channels) {
    const auto bytes = ramp(static_cast<std::size_t>(7 * 5 * channels));
    write_png8(folder / "a.png", {7, 5, channels, bytes});
    const Image image = read_image(folder / "a.png");
    REQUIRE(image.width == 7);
    REQUIRE(image.height == 5);
    REQUIRE(image.channels == (channels <= 2 ? 1 : 3));
    REQUIRE(image.bit_depth == 8);
    REQUIRE(image.size() == 35 * image.depth());
    std::size_t at = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const bool alpha = channels % 2 == 0 &&
                         i % static_cast<std::size_t>(channels) == static_cast<std::size_t>(channels) - 1;
      if (!alpha) REQUIRE(image[at++] == static_cast<float>(bytes[i]) / 255.0f);
    }
    REQUIRE(at == image.size());
  }
  CHECK(folder.entry_count() == 1);  // no temporary file stays behind
}

TEST_CASE("nuclei: 16-bit PNG keeps its full depth", "[nuclei][image]") {
  const TempFolder folder;
  const std::vector<std::uint16_t> values{0, 1, 255, 256, 40000, 65535};
  write_png16(folder / "a.png", {3, 2, 1, values});
  const Image image = read_image(folder / "a.png");
  CHECK(image.bit_depth == 16);
  CHECK(image.channels == 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(image[i] == static_cast<float>(values[i]) / 65535.0f);
  }
  CHECK(read_mask(folder / "a.png", 3, 2).values == std::vector<std::uint8_t>{0, 1, 1, 1, 1, 1});
}

TEST_CASE("nuclei: one pixel is an image", "[nuclei][image]") {
  const TempFolder folder;
  write_png8(folder / "a.png", {1, 1, 1, {51}});
  const Image image = read_image(folder / "a.png");
  CHECK(image.width * image.height * image.channels == 1);
  CHECK(image.values == std::vector<float>{0.2f});
}

TEST_CASE("nuclei: palettes become RGB, with or without transparency", "[nuclei][image]") {
  const TempFolder folder;
  const std::string palette = chunk("PLTE", std::string("\xff\x00\x00\x00\xff\x00", 6));
  const std::string rows("\x00\x00\x01", 3);
  write_file(folder / "a.png", png(2, 1, 8, 3, rows, palette));
  write_file(folder / "b.png", png(2, 1, 8, 3, rows, palette + chunk("tRNS", "\x80")));
  for (const char* name : {"a.png", "b.png"}) {
    const Image image = read_image(folder / name);
    CHECK(image.channels == 3);
    CHECK(image.values == std::vector<float>{1, 0, 0, 0, 1, 0});
  }
}

TEST_CASE("nuclei: a PNG whose palette goes from white to black is grey, and measured by its indices",
          "[nuclei][image]") {
  const TempFolder folder;
  std::string colours;
  for (int i = 255; i >= 0; --i) colours += std::string(3, static_cast<char>(i));
  write_file(folder / "a.png", png(3, 1, 8, 3, std::string("\x00\x00\x33\xff", 4), chunk("PLTE", colours)));
  const Image image = read_image(folder / "a.png");
  CHECK(image.channels == 1);
  CHECK(image.values == std::vector<float>{1, 204 / 255.0f, 0});
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(image.offset + image.scale * image[i] == Approx(std::array{0, 51, 255}[i]).margin(1e-3));
}

TEST_CASE("nuclei: 1-bit masks count as masks", "[nuclei][image]") {
  const TempFolder folder;
  write_file(folder / "a.png", png(4, 2, 1, 0, std::string("\x00\xa0\x00\x10", 4)));
  CHECK(read_mask(folder / "a.png", 4, 2).values == std::vector<std::uint8_t>{1, 0, 1, 0, 0, 0, 0, 1});
}

TEST_CASE("nuclei: alpha is no mask", "[nuclei][image]") {
  const TempFolder folder;
  write_png8(folder / "a.png", {2, 1, 4, {0, 0, 0, 255, 0, 9, 0, 0}});
  CHECK(read_mask(folder / "a.png", 2, 1).values == std::vector<std::uint8_t>{0, 1});
}

TEST_CASE("nuclei: a mask of another size names both sizes", "[nuclei][image]") {
  const TempFolder folder;
  write_png8(folder / "a.png", {4, 3, 1, ramp(12)});
  CHECK_THROWS_WITH(read_mask(folder / "a.png", 3, 4), Contains("3 x 4") && Contains("4 x 3"));
}

TEST_CASE("nuclei: a PNG cut at any byte or with any byte changed is an error", "[nuclei][image]") {
  const TempFolder folder;
  write_png8(folder / "whole.png", {5, 4, 3, ramp(5 * 4 * 3)});
  const std::string whole = read_file(folder / "whole.png");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_file(folder / "cut.png", whole.substr(0, size));
    INFO("cut to " << size << " of " << whole.size() << " bytes");
    CHECK_THAT(reason(folder / "cut.png"), Contains("cut short") || Contains("empty"));
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    write_file(folder / "changed.png", changed);
    INFO("byte " << i << " changed");
    CHECK_THROWS_AS(read_image(folder / "changed.png"), Failure);
  }
}

TEST_CASE("nuclei: sound checksums do not hide missing pixels", "[nuclei][image]") {
  const TempFolder folder;
  write_file(folder / "a.png", png(4, 4, 8, 0, std::string(7, '\0')));  // of 20 bytes
  CHECK_THAT(reason(folder / "a.png"), Contains("damaged"));
}

TEST_CASE("nuclei: compressed zeros that no pixel needs are passed over", "[nuclei][image]") {
  const TempFolder folder;
  const std::string zeros(1 << 20, '\0');
  write_file(folder / "a.png",
             png(1, 1, 8, 0, zeros, chunk("zTXt", std::string("a\0\0", 3) + deflated(zeros))));
  CHECK(read_image(folder / "a.png").values == std::vector<float>{0});
}

TEST_CASE("nuclei: files that are no images say so", "[nuclei][image]") {
  const TempFolder folder;
  CHECK_THAT(reason(folder / "none.png"), Contains("no such file"));
  CHECK_THAT(reason(folder.path()), Contains("folder"));
  write_file(folder / "empty.png", "");
  CHECK_THAT(reason(folder / "empty.png"), Contains("empty"));
  write_file(folder / "text.png", "this is not a picture, whatever its name says\n");
  CHECK_THAT(reason(folder / "text.png"), Contains("expected a PNG, JPEG or BMP"));
  write_file(folder / "b.png", "BMW is no bitmap, though it starts like one. It goes on for a while.");
  CHECK_THAT(reason(folder / "b.png"), Contains("reading"));
  CHECK_THROWS_AS(read_image(folder / "b.png"), Failure);
}

TEST_CASE("nuclei: absurd sizes are refused before memory is taken", "[nuclei][image]") {
  const TempFolder folder;
  write_file(folder / "a.png", png(60000, 60000, 8, 0, ""));
  CHECK_THAT(reason(folder / "a.png"), Contains("60000 x 60000") && Contains("limit"));
  write_file(folder / "b.png", png(0xffffffff, 1, 8, 0, ""));
  CHECK_THROWS_AS(read_image(folder / "b.png"), Failure);
  write_file(folder / "c.png", png(0, 1, 8, 0, ""));
  CHECK_THROWS_AS(read_image(folder / "c.png"), Failure);
}

TEST_CASE("nuclei: few rows of a very wide picture are read at a time", "[nuclei][image]") {
  CHECK(rows_at_once(Image(64, 48, 1)) == 64);
  for (const int channels : {1, 3}) {
    Image header;
    header.channels = channels;
    for (const int width : {20'000, 300'000, 1'000'000}) {
      header.width = width;
      const int rows = rows_at_once(header);
      CHECK(rows >= 1);
      CHECK((rows == 1 || header.row_size() * static_cast<std::size_t>(rows) <= 1 << 20));
    }
  }
}

TEST_CASE("nuclei: BMP is read, a truncated one refused", "[nuclei][image]") {
  const TempFolder folder;
  std::string bmp("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0", 30);
  bmp += std::string(24, '\0');  // no compression, default sizes
  bmp += std::string("\x00\x00\xff\x00\xff\x00\0\0\xff\x00\x00\xff\xff\xff\0\0", 16);
  write_file(folder / "a.bmp", bmp);
  const Image image = read_image(folder / "a.bmp");
  CHECK(image.values == std::vector<float>{0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0});
  for (std::size_t size = 0; size + 2 < bmp.size(); ++size) {  // two bytes of padding may be missing
    write_file(folder / "cut.bmp", bmp.substr(0, size));
    INFO("cut to " << size << " bytes");
    CHECK_THROWS_AS(read_image(folder / "cut.bmp"), Failure);
  }
}

TEST_CASE("nuclei: a JPEG is read, and refused when cut short", "[nuclei][image]") {
  // 8 x 8 pixels of one grey, baseline: quantisation, frame, two one-code Huffman tables, one
  // block.
  const TempFolder folder;
  std::string jpeg("\xff\xd8\xff\xdb\x00\x43\x00", 7);
  jpeg += std::string(64, '\x08');
  jpeg += std::string("\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00", 13);
  jpeg += std::string("\xff\xc4\x00\x14\x00\x01", 6) + std::string(15, '\0') + '\0';
  jpeg += std::string("\xff\xc4\x00\x14\x10\x01", 6) + std::string(15, '\0') + '\0';
  jpeg += std::string("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", 10);
  jpeg += std::string("\x3f\xff\xd9", 3);  // DC difference 0, end of block, padding
  write_file(folder / "a.jpg", jpeg);
  const Image image = read_image(folder / "a.jpg");
  CHECK(image.channels == 1);
  CHECK(image.values == std::vector<float>(64, 128.0f / 255.0f));
  for (std::size_t size = 0; size + 2 < jpeg.size(); ++size) {
    write_file(folder / "cut.jpg", jpeg.substr(0, size));
    INFO("cut to " << size << " bytes");
    CHECK_THROWS_AS(read_image(folder / "cut.jpg"), Failure);
  }
}

TEST_CASE("nuclei: pictures that cannot be written say why", "[nuclei][image]") {
  const TempFolder folder;
  const Picture picture(4, 4, 1, ramp(16));
  CHECK_THROWS_WITH(write_png8("/dev/full", picture), Contains("/dev/full") && Contains("No space left"));
  CHECK_THROWS_WITH(write_png8(folder / "no/such/a.png", picture), Contains("No such file"));
  CHECK_THROWS_AS(write_png8(folder / "a.png", Picture(0, 4)), Failure);
  CHECK_THROWS_AS(write_png8(folder / "a.png", Picture(4, 4, 5)), Failure);
  CHECK(folder.entry_count() == 0);
}
