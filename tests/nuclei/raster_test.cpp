#include "imageio/raster.h"

#include <catch2/catch.hpp>

using namespace nuclei;
using Catch::Matchers::Contains;

TEST_CASE("nuclei: a raster has a value for each pixel and channel", "[nuclei][raster]") {
  Raster<int> map(3, 2, 2);
  CHECK(map.size() == 12);
  CHECK(map.pixels() == 6);
  map.at(2, 1, 1) = 7;
  CHECK(map.values.back() == 7);
  CHECK(map.row(1)[5] == 7);
  CHECK(map.pixel(5)[1] == 7);
  CHECK(map.index(1, 1) == 8);
  CHECK((map.contains(2, 1) && !map.contains(3, 1) && !map.contains(0, -1)));
  CHECK(map.same_size(Raster<char>(3, 2)));
  CHECK_THROWS_WITH(Raster<int>(3, 2, 1, {1, 2}), Contains("3 x 2"));
}
