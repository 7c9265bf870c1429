#include "output/formats.h"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "found.h"

using namespace nuclei;
using nuclei::test::drawn_labels;
using nuclei::test::found_in;

TEST_CASE("nuclei: GeoJSON closes its rings and knows holes", "[nuclei][geojson]") {
  const auto json =
      nlohmann::json::parse(geojson_feature(found_in(drawn_labels(3, 3, "aaa a.a aaa")), 0.5, 0.5));
  CHECK(json["geometry"]["type"] == "Polygon");
  const auto& rings = json["geometry"]["coordinates"];
  REQUIRE(rings.size() == 2);
  for (const auto& ring : rings) CHECK(ring.front() == ring.back());
  CHECK(json["properties"]["objectType"] == "detection");
  CHECK(json["properties"]["measurements"]["Area px^2"] == 8);
  CHECK(json["properties"]["measurements"]["Area µm^2"] == 2);
  const auto parts = nlohmann::json::parse(geojson_feature(found_in(drawn_labels(2, 2, "a. .a")), 0, 0));
  CHECK(parts["geometry"]["type"] == "MultiPolygon");
  CHECK_FALSE(parts["properties"]["measurements"].contains("Area µm^2"));
}
