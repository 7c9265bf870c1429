#include "output/exports.h"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "drawing.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using nuclei::test::drawn_labels;
using nuclei::test::flat_image;

namespace {

Found found(const LabelMap& map, int shift_x = 0) {
  Nucleus n = measure(map, flat_image(map.width, map.height, 0.2f)).at(0);
  Found f{n, outline(map, n), column_runs(map, n)};
  for (Corner& c : f.parts[0].outer) c.x += shift_x;
  return f;
}

int number(const std::string& bytes, std::size_t at, int size) {
  int value = 0;
  for (int i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

}  // namespace

TEST_CASE("nuclei: run lengths as the Bowl defines them", "[nuclei][exports]") {
  // 1 4 7 / 2 5 8 / 3 6 9
  CHECK(bowl_runs(found(drawn_labels(3, 3, "a.. aa. ...")).runs, 3) == "1 2 5 1");
  CHECK(bowl_runs(found(drawn_labels(3, 3, ".a. aa. aaa")).runs, 3) ==
        "2 5 9 1");  // on from column to column
  CHECK(bowl_runs({}, 3).empty());
}

TEST_CASE("nuclei: run lengths as COCO packs them", "[nuclei][exports]") {
  // By pycocotools.mask.encode.
  CHECK(coco_counts(found(drawn_labels(3, 3, "a.. aa. ...")).runs, 3, 3) == "022O2");
  CHECK(coco_counts(found(drawn_labels(3, 2, "aaa aaa")).runs, 3, 2) == "06");
}

TEST_CASE("nuclei: an ImageJ outline", "[nuclei][exports]") {
  const std::string roi = imagej_roi(found(drawn_labels(4, 3, ".... .aa. .aa.")), "00001");
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
  const std::string far = imagej_roi(found(drawn_labels(4, 3, ".... .aa. .aa."), 40000), "1");
  CHECK(number(far, 50, 2) == 128);
  CHECK(number(far, 80, 4) == 0x471C4100);  // 40001.0f
}

TEST_CASE("nuclei: GeoJSON closes its rings and knows holes", "[nuclei][exports]") {
  const auto json =
      nlohmann::json::parse(geojson_feature(found(drawn_labels(3, 3, "aaa a.a aaa")), 0.5, 0.5));
  CHECK(json["geometry"]["type"] == "Polygon");
  const auto& rings = json["geometry"]["coordinates"];
  REQUIRE(rings.size() == 2);
  for (const auto& ring : rings) CHECK(ring.front() == ring.back());
  CHECK(json["properties"]["objectType"] == "detection");
  CHECK(json["properties"]["measurements"]["Area px^2"] == 8);
  CHECK(json["properties"]["measurements"]["Area µm^2"] == 2);
  const auto parts = nlohmann::json::parse(geojson_feature(found(drawn_labels(2, 2, "a. .a")), 0, 0));
  CHECK(parts["geometry"]["type"] == "MultiPolygon");
  CHECK_FALSE(parts["properties"]["measurements"].contains("Area µm^2"));
}

TEST_CASE("nuclei: rows of the table, with micrometres where they are known", "[nuclei][exports]") {
  const Nucleus n = found(drawn_labels(3, 3, "... .aa .aa")).nucleus;
  const std::string header = csv_header(), plain = csv_row("a,b", "in/a,b.tif", n, 0, 0),
                    scaled = csv_row("x", "in/x.png", n, 0.5, 0.5);
  const auto commas = [](const std::string& text) { return std::count(text.begin(), text.end(), ','); };
  CHECK(commas(header) == 27);
  CHECK(commas(plain) == 29);  // two in quoted names
  CHECK(commas(scaled) == 27);
  CHECK(plain.starts_with("\"a,b\",1,4,1.50,1.50,1,1,3,3,51.00,"));
  CHECK(plain.ends_with(",,,,,,,\"in/a,b.tif\"\n"));
  CHECK_THAT(scaled, Contains(",0.50000,1.000,"));
  CHECK(scaled.ends_with(",0.750,0.750,in/x.png\n"));
}

TEST_CASE("nuclei: an archive appears whole or not at all", "[nuclei][exports]") {
  const TempFolder folder;
  {
    ZipWriter zip(folder / "a.zip");
    zip.add("x.roi", "hello");
    CHECK_FALSE(std::filesystem::exists(folder / "a.zip"));
    zip.finish();
  }
  const std::string bytes = read_file(folder / "a.zip");
  CHECK(bytes.starts_with("PK\x03\x04"));
  CHECK(bytes.substr(bytes.size() - 22, 4) == "PK\x05\x06");
  { ZipWriter abandoned(folder / "b.zip"); }
  CHECK(folder.entry_count() == 1);
  // More entries than the old directory counts.
  {
    ZipWriter zip(folder / "c.zip");
    for (int i = 0; i < 65536; ++i) zip.add(std::to_string(i), "");
    zip.finish();
  }
  CHECK_THAT(read_file(folder / "c.zip"),
             Contains(std::string("PK\x06\x06")) && Contains(std::string("PK\x06\x07")));
}
