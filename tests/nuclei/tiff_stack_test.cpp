// Stacks that one TIFF directory stands for, and planes that a file tells of and that are not there.
#include <tiffio.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "imageio/image.h"
#include "imageio/tiff_source.h"
#include "reason.h"
#include "temp_folder.h"
#include "tiff_pages.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

/// A TIFF with one directory in front of its pixels, as ImageJ (big-endian) and MetaMorph write their stacks.
struct OneDirectory {
  bool big = true;
  int width = 5, height = 4, bits = 16, rows_per_strip = 4;
  std::string description = {};
  int uic2_entries = 0;
  int compression = COMPRESSION_NONE;

  std::string bytes_of(std::uint64_t value, int bytes) const {
    std::string out;
    for (int i = 0; i < bytes; ++i) {
      const int shift = 8 * (big ? bytes - 1 - i : i);
      out += static_cast<char>(value >> shift & 255);
    }
    return out;
  }

  /// Everything before the pixels.
  std::string head() const {
    struct Entry {
      int tag, type;
      std::vector<std::uint64_t> values;
    };
    const int strips = (height + rows_per_strip - 1) / rows_per_strip, row = width * bits / 8;
    std::vector<std::uint64_t> offsets, counts;
    constexpr std::uint64_t data = 1000;
    for (int i = 0; i < strips; ++i) {
      offsets.push_back(data + static_cast<std::uint64_t>(i * rows_per_strip * row));
      counts.push_back(
          static_cast<std::uint64_t>(std::min(rows_per_strip, height - i * rows_per_strip) * row));
    }
    std::vector<Entry> entries{{256, 4, {std::uint64_t(width)}},
                               {257, 4, {std::uint64_t(height)}},
                               {258, 3, {std::uint64_t(bits)}},
                               {259, 3, {std::uint64_t(compression)}},
                               {262, 3, {1}}};
    if (!description.empty()) {
      entries.push_back({270, 2, {}});
      for (const char c : description) entries.back().values.push_back(static_cast<unsigned char>(c));
      entries.back().values.push_back(0);
    }
    entries.push_back({273, 4, offsets});
    entries.push_back({277, 3, {1}});
    entries.push_back({278, 4, {std::uint64_t(rows_per_strip)}});
    entries.push_back({279, 4, counts});
    if (uic2_entries > 0)
      entries.push_back({33629, 5, std::vector<std::uint64_t>(2 * std::size_t(uic2_entries), 1)});
    std::string directory = bytes_of(entries.size(), 2), behind;
    const std::uint64_t begin = 8 + 2 + 12 * entries.size() + 4;
    for (const Entry& e : entries) {
      const int bytes = e.type == 2 ? 1 : e.type == 3 ? 2 : 4;
      std::string values;
      for (const std::uint64_t v : e.values) values += bytes_of(v, bytes);
      directory += bytes_of(std::uint64_t(e.tag), 2) + bytes_of(std::uint64_t(e.type), 2) +
                   bytes_of(e.values.size() / (e.type == 5 ? 2 : 1), 4);
      if (values.size() > 4) {
        directory += bytes_of(begin + behind.size(), 4);
        behind += values;
      } else {
        directory += values + std::string(4 - values.size(), '\0');
      }
    }
    std::string all =
        (big ? "MM" : "II") + bytes_of(42, 2) + bytes_of(8, 4) + directory + bytes_of(0, 4) + behind;
    REQUIRE(all.size() <= data);
    return all + std::string(data - all.size(), '\0');
  }
  int base(int page) const { return bits == 8 ? 37 * page % 180 : 1000 * page; }
  std::string plane(int value) const {
    std::string out;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) out += bytes_of(std::uint64_t(value + 10 * y + x), bits / 8);
    return out;
  }
  std::string file(int planes) const {
    std::string all = head();
    for (int i = 1; i <= planes; ++i) all += plane(base(i));
    return all;
  }
};

std::vector<int> read_values(const std::filesystem::path& path, const ReadOptions& options) {
  std::vector<int> values;
  const Image image = read_image(path, options);
  for (const float p : image)
    values.push_back(static_cast<int>(std::lround(image.scale * static_cast<double>(p))));
  return values;
}

}  // namespace

TEST_CASE("nuclei: a stack behind a single TIFF directory is read as pages", "[nuclei][tiff]") {
  const TempFolder folder;
  const auto path = folder / "a.tif";
  const auto check_planes = [&](const OneDirectory& d, int planes) {
    write_file(path, d.file(planes));
    REQUIRE(page_count(path) == planes);
    CHECK(open_tiff(path, {})->remark().empty());
    for (int page = 1; page <= planes; ++page) {
      const std::vector<int> values = read_values(path, {.page = page});
      for (int y = 0; y < d.height; ++y)
        for (int x = 0; x < d.width; ++x)
          REQUIRE(values[std::size_t(y * d.width + x)] == d.base(page) + 10 * y + x);
    }
  };
  for (const bool big : {true, false})
    for (const int bits : {8, 16, 24, 32, 64})
      for (const int rows : {4, 3, 1}) {
        check_planes({.big = big,
                      .bits = bits,
                      .rows_per_strip = rows,
                      .description = "ImageJ=1.53t\nimages=5\nslices=5\nhyperstack=true\n"},
                     5);
        check_planes({.big = big, .bits = bits, .rows_per_strip = rows, .uic2_entries = 3}, 3);
      }
  check_planes({.description = "{\"shape\": [3, 4, 5], \"truncated\": true}"}, 3);
  // Channels first, as in every hyperstack.
  const OneDirectory channels{.description =
                                  "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n"};
  write_file(path, channels.file(6));
  CHECK(page_count(path) == 3);
  CHECK(read_values(path, {.page = 3, .channel = "2"})[0] == 6000);
  CHECK(read_values(path, {.page = 2})[7] == 3012);
  // Rows in any order.
  const auto source = open_tiff(path, {.page = 2, .channel = "2"});
  std::vector<float> row(5);
  for (const int y : {3, 0, 2}) {
    source->read(y, 1, row.data());
    CHECK(std::lround(row[0] * source->header().scale) == 4000 + 10 * y);
  }
}

TEST_CASE("nuclei: a stack behind a single TIFF directory may lie above 4 GB", "[nuclei][tiff]") {
  const TempFolder folder;
  const OneDirectory d{.width = 500,
                       .height = 500,
                       .rows_per_strip = 500,
                       .description = "ImageJ=1.53t\nimages=9000\nslices=9000\n"};
  write_file(folder / "a.tif", d.head());
  const std::uint64_t plane = 500 * 500 * 2;
  std::filesystem::resize_file(folder / "a.tif", 1000 + 8999 * plane);  // a sparse file
  {
    std::ofstream file(folder / "a.tif", std::ios::binary | std::ios::app);
    file << d.plane(7);
  }
  CHECK(page_count(folder / "a.tif") == 9000);
  CHECK(read_values(folder / "a.tif", {.page = 9000})[501] == 18);
  CHECK(read_values(folder / "a.tif", {.page = 8999})[501] == 0);
}

TEST_CASE("nuclei: planes that a TIFF tells of and that cannot be read are told", "[nuclei][tiff]") {
  const TempFolder folder;
  const auto path = folder / "a.tif";
  const std::string text = "ImageJ=1.53t\nimages=5\nchannels=5\nhyperstack=true\n";
  const auto remark = [&](const std::string& bytes) {
    write_file(path, bytes);
    CHECK(page_count(path) == 1);
    CHECK(read_values(path, {})[0] == 1000);
    return open_tiff(path, {.page = 1})->remark();
  };
  const OneDirectory d{.description = text};
  CHECK_THAT(remark(d.file(4)), Contains("tells of 5 planes, 1 is there: the file is too short"));
  CHECK_THAT(remark(OneDirectory{.uic2_entries = 3}.file(2)), Contains("tells of 3 planes"));
  CHECK_THAT(remark(OneDirectory{.description = "ImageJ=1.53t\nimages=900000000\n"}.file(2)),
             Contains("tells of 900000000 planes"));
  // The directory lies behind the pixels: they end there.
  write(path, {{.description = text, .value = all(3)}});
  std::filesystem::resize_file(path, 4000);
  CHECK(page_count(path) == 1);
  CHECK_THAT(open_tiff(path, {})->remark(), Contains("tells of 5 planes"));
  CHECK_THAT(reason(path, {.channel = "2"}), Contains("tells of 5 planes, 1 is there"));
  write(path, {{.compression = COMPRESSION_LZW, .description = text}});
  CHECK_THAT(open_tiff(path, {})->remark(), Contains("compressed"));
  // Several directories, fewer or more than the text tells of.
  write(path, stack(3, text));
  CHECK(page_count(path) == 3);
  CHECK_THAT(open_tiff(path, {})->remark(), Contains("tells of 5 planes, 3 are there"));
  write(path, stack(6, text));
  CHECK(page_count(path) == 6);
  CHECK_THAT(open_tiff(path, {})->remark(), Contains("5 channels are pages"));
}

TEST_CASE("nuclei: a chain of TIFF directories that breaks off is told", "[nuclei][tiff]") {
  const TempFolder folder;
  write(folder / "a.tif", stack(3));
  std::string bytes = karyon::test::read_file(folder / "a.tif");
  // The link from the first directory to the second leads behind the end.
  const auto link = [&](std::size_t at) {
    return static_cast<std::uint8_t>(bytes[at]) | static_cast<std::uint8_t>(bytes[at + 1]) << 8;
  };
  const auto directory = static_cast<std::size_t>(link(4));
  const std::size_t next = directory + 2 + 12 * static_cast<std::size_t>(link(directory));
  bytes[next + 2] = 1;
  write_file(folder / "b.tif", bytes);
  CHECK(page_count(folder / "b.tif") == 1);
  CHECK_THAT(open_tiff(folder / "b.tif", {})->remark(), Contains("behind TIFF directory 1 is damaged"));
}
