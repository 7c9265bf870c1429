#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <karyon/core/format/event_record.h>
#include <karyon/core/format/inflate.h>
#include <karyon/core/format/png.h>
#include <karyon/core/io/summary_writer.h>

#include "temp_folder.h"

using namespace karyon;

namespace {

template <class T>
T number(std::string_view bytes) {
  T out;
  REQUIRE(bytes.size() >= sizeof out);
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

/// The bytes of each field of a message, by number, from the definition of Protocol Buffers.
using Fields = std::multimap<int, std::string>;
Fields fields(std::string_view bytes) {
  const auto varint = [&] {
    std::uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE_FALSE(bytes.empty());
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      out |= std::uint64_t{byte & 127u} << shift;
      if (byte < 128) return out;
    }
  };
  Fields out;
  while (!bytes.empty()) {
    const std::uint64_t key = varint();
    std::size_t size = 0;
    if ((key & 7) == 0) {
      const std::uint64_t value = varint();
      out.emplace(static_cast<int>(key >> 3),
                  std::string(reinterpret_cast<const char*>(&value), sizeof value));
      continue;
    }
    if ((key & 7) == 1) size = 8;
    if ((key & 7) == 2) size = varint();
    if ((key & 7) == 5) size = 4;
    REQUIRE(size <= bytes.size());
    out.emplace(static_cast<int>(key >> 3), bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return out;
}

std::string only(const Fields& all, int field) {
  REQUIRE(all.count(field) == 1);
  return all.find(field)->second;
}

std::vector<Fields> events(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  std::vector<Fields> out;
  for (std::size_t at = 0; at < all.size();) {
    const auto size = number<std::uint64_t>(std::string_view(all).substr(at));
    REQUIRE(at + 16 + size <= all.size());
    const std::string contents = all.substr(at + 12, size);
    CHECK(framed_record(contents) == all.substr(at, 16 + size));
    out.push_back(fields(contents));
    at += 16 + size;
  }
  return out;
}

/// The one value of an event.
Fields value_of(const Fields& event) { return fields(only(fields(only(event, 5)), 1)); }

std::vector<double> doubles(const std::string& bytes) {
  std::vector<double> out(bytes.size() / 8);
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

}  // namespace

TEST_CASE("summary: checksums and framing are those of the definition") {
  CHECK(crc32c("123456789") == 0xe3069283u);            // RFC 3720, and the catalogue of CRCs
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  const std::string record = framed_record("abc");
  CHECK(record.size() == 19);
  CHECK(number<std::uint64_t>(record) == 3);
  const std::uint32_t crc = crc32c("abc");
  CHECK(number<std::uint32_t>(std::string_view(record).substr(15)) == (crc >> 15 | crc << 17) + 0xa282ead8u);
}

TEST_CASE("summary: scalars, text and the first event") {
  const test::TempFolder folder;
  SummaryWriter writer(folder / "a" / "b");
  writer.add_scalar("loss/train", 0.25, 7);
  writer.add_scalar("loss/train", NAN, std::int64_t{1} << 40);
  writer.add_text("note", "**bold**", -1);
  const auto all = events(writer.path());
  REQUIRE(all.size() == 4);
  CHECK(only(all[0], 3) == "brain.Event:2");
  CHECK(number<double>(only(all[0], 1)) > 1.6e9);
  CHECK(number<std::int64_t>(only(all[1], 2)) == 7);
  CHECK(only(value_of(all[1]), 1) == "loss/train");
  CHECK(number<float>(only(value_of(all[1]), 2)) == 0.25f);
  CHECK(number<std::int64_t>(only(all[2], 2)) == std::int64_t{1} << 40);
  CHECK(std::isnan(number<float>(only(value_of(all[2]), 2))));
  CHECK(number<std::int64_t>(only(all[3], 2)) == -1);
  CHECK(only(fields(only(value_of(all[3]), 8)), 8) == "**bold**");
}

TEST_CASE("summary: histograms count every finite element") {
  const test::TempFolder folder;
  SummaryWriter writer(folder.path());
  writer.add_histogram("weights", tensor({-1, 0, 0.5, 3, NAN, INFINITY}), 1);
  writer.add_histogram("equal", full({5}, 2));
  writer.add_histogram("nothing", zeros({0}));
  const auto all = events(writer.path());
  const Fields first = fields(only(value_of(all[1]), 5));
  CHECK(number<double>(only(first, 1)) == -1);
  CHECK(number<double>(only(first, 2)) == 3);
  CHECK(number<double>(only(first, 3)) == 4);
  CHECK(number<double>(only(first, 4)) == 2.5);
  CHECK(number<double>(only(first, 5)) == 10.25);
  const auto limits = doubles(only(first, 6)), counts = doubles(only(first, 7));
  CHECK(limits.size() == 64);
  CHECK(limits.back() == 3);
  CHECK(counts.front() == 1);
  CHECK(counts[16] == 1);  // 0 is a quarter of the way
  CHECK(counts[24] == 1);
  CHECK(counts.back() == 1);
  const Fields equal = fields(only(value_of(all[2]), 5));
  CHECK(doubles(only(equal, 6)) == std::vector<double>{2});
  CHECK(doubles(only(equal, 7)) == std::vector<double>{5});
  CHECK(number<double>(only(fields(only(value_of(all[3]), 5)), 3)) == 0);
}

TEST_CASE("summary: pictures are PNG files") {
  const test::TempFolder folder;
  SummaryWriter writer(folder.path());
  writer.add_image("grey", tensor({0, 0.5, 1, 2, -1, NAN}, {2, 3, 1}), 3);
  const Fields image = fields(only(value_of(events(writer.path())[1]), 4));
  CHECK(number<std::int64_t>(only(image, 1)) == 2);
  CHECK(number<std::int64_t>(only(image, 2)) == 3);
  CHECK(number<std::int64_t>(only(image, 3)) == 1);
  const std::string png = only(image, 4);
  CHECK(png.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  // Signature 8, IHDR 25, IDAT 8 of its own, zlib's header 2, the block's 5, then a filter byte before each row.
  CHECK(png.substr(8 + 25 + 8 + 2 + 5, 8) == std::string("\0\x00\x80\xff\0\xff\0\0", 8));
  CHECK_THROWS_WITH(writer.add_image("x", zeros({2, 2})), Catch::Contains("add_image: expects [H, W, C]"));
  CHECK_THROWS_WITH(writer.add_image("x", zeros({2, 2, 2})), Catch::Contains("1, 3 or 4 channels"));
  CHECK_THROWS_WITH(writer.add_image("x", zeros({2, 2, 1}, {.dtype = i64})), Catch::Contains("got i64"));

  const std::vector<std::uint8_t> large(300 * 300 * 3, 7);  // several blocks
  const std::string file = encode_png(large, 300, 300, 3);
  const std::size_t stored = 300 * (1 + 300 * 3), blocks = (stored + 65534) / 65535;
  CHECK(file.size() == 8 + 25 + 12 + 2 + 5 * blocks + stored + 4 + 12);
}

TEST_CASE("summary: a file that cannot be written is an Error that names it") {
  const test::TempFolder folder;
  std::ofstream(folder / "file") << "x";
  CHECK_THROWS_WITH(SummaryWriter(folder / "file"), Catch::Contains("events.out.tfevents"));
  SummaryWriter a(folder.path()), b(folder.path());
  CHECK(a.path() != b.path());
}
