#include "output/formats.h"

#include <catch2/catch.hpp>
#include <tuple>

#include "found.h"

using namespace nuclei;
using nuclei::test::drawn_labels;
using nuclei::test::found_in;

namespace {

int number(const std::string& bytes, std::size_t at, int size) {
  int value = 0;
  for (int i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

}  // namespace

TEST_CASE("nuclei: an ImageJ outline", "[nuclei][roi]") {
  const std::string roi = imagej_roi(found_in(drawn_labels(4, 3, ".... .aa. .aa.")), "00001");
  CHECK(roi.substr(0, 4) == "Iout");
  CHECK(number(roi, 6, 1) == 0);  // polygon
  CHECK(number(roi, 8, 2) == 1);
  CHECK(number(roi, 10, 2) == 1);
  CHECK(number(roi, 12, 2) == 3);
  CHECK(number(roi, 14, 2) == 3);
  CHECK(number(roi, 16, 2) == 4);
  for (const auto& [i, x, y] : {std::tuple{0, 0, 0}, {1, 2, 0}, {2, 2, 2}, {3, 0, 2}}) {
    CHECK(number(roi, 64 + 2 * static_cast<std::size_t>(i), 2) == x);
    CHECK(number(roi, 72 + 2 * static_cast<std::size_t>(i), 2) == y);
  }
  const auto second = static_cast<std::size_t>(number(roi, 60, 4));
  const auto name = static_cast<std::size_t>(number(roi, second + 16, 4));
  CHECK(number(roi, second + 20, 4) == 5);
  CHECK(roi.substr(name) == std::string("\0000\0000\0000\0000\0001", 10));
  // Far to the right coordinates are floats.
  Found moved = found_in(drawn_labels(4, 3, ".... .aa. .aa."));
  for (Corner& c : moved.parts[0].outer) c.x += 40000;
  const std::string far = imagej_roi(moved, "1");
  CHECK(number(far, 50, 2) == 128);
  CHECK(number(far, 80, 4) == 0x471C4100);  // 40001.0f
}
