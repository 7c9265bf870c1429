#include "app/arrange.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include "common/error.h"
#include "dataset/background.h"
#include "dataset/bowl_layout.h"
#include "dataset/diagnosis.h"
#include "dataset/listing.h"
#include "imageio/image.h"
#include "imageio/partial_folder.h"
#include "raw_tiff.h"
#include "temp_folder.h"
#include "tiff_pages.h"

using namespace nuclei;
namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;
using nuclei::test::write_pages;

namespace {

using Pixels = std::vector<std::uint8_t>;

void write_grey(const fs::path& file, const Pixels& pixels, int width = 4) {
  fs::create_directories(file.parent_path());
  write_png8(file, {width, static_cast<int>(pixels.size()) / width, 1, pixels});
}

std::vector<std::int32_t> labels(const fs::path& root, const std::string& id) {
  for (const Sample& sample : scan_bowl(root, true)) {
    if (sample.id == id) return read_example(sample).truth.values;
  }
  return {};
}

}  // namespace

TEST_CASE("nuclei: two folders of images and masks become a data set", "[nuclei][arrange]") {
  const TempFolder root;
  const Pixels picture{9, 200, 9, 190, 9, 200, 9, 190};
  for (const char* name : {"a", "a_2", "b", "c", "d"})
    write_grey(root / "images" / (std::string(name) + ".png"), picture);
  write_grey(root / "masks/a.png", {0, 255, 0, 255, 0, 255, 0, 255});  // black and white: parts
  write_grey(root / "masks/a_2_mask.png", {0, 7, 9, 9, 0, 7, 9, 9});   // labels, touching
  write_png16(root / "masks/b.png", {4, 2, 1, {0, 1, 0, 300, 0, 1, 0, 300}});
  const Pixels colors{0, 0, 0, 255, 0, 0, 0, 0, 0, 255, 9, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 255, 9, 0};
  write_png8(root / "masks/c.png", {4, 2, 3, colors});
  write_grey(root / "masks/d-labels.png", Pixels(8));
  const Arranged arranged = arrange(root / "images", root / "masks", root / "out");
  CHECK(arranged.images == 5);
  CHECK(arranged.nuclei == 8);
  const std::vector<std::int32_t> apart{0, 1, 0, 2, 0, 1, 0, 2};
  CHECK(labels(root / "out", "a") == apart);
  CHECK(labels(root / "out", "a_2") == std::vector<std::int32_t>{0, 1, 2, 2, 0, 1, 2, 2});
  CHECK(labels(root / "out", "b") == apart);
  CHECK(labels(root / "out", "c") == apart);
  CHECK(labels(root / "out", "d") == std::vector<std::int32_t>(8));
  CHECK(read_file(root / "out/a/images/a.png") == read_file(root / "images/a.png"));
  CHECK(diagnose(root / "out").count(Severity::error) == 0);
}

TEST_CASE("nuclei: what cannot be paired or read is explained, and nothing is written", "[nuclei][arrange]") {
  const TempFolder root;
  const auto attempt = [&] { return arrange(root / "images", root / "masks", root / "out"); };
  CHECK_THROWS_WITH(attempt(), Contains("images") && Contains("none of this name"));
  fs::create_directories(root / "images");
  fs::create_directories(root / "masks");
  CHECK_THROWS_WITH(attempt(), Contains("holds no file"));
  write_grey(root / "images/a.png", {9, 200, 9, 190});
  write_grey(root / "masks/other.png", {0, 1, 0, 1});
  CHECK_THROWS_WITH(attempt(), Contains("other.png") && Contains("an image of the same name"));
  fs::rename(root / "masks/other.png", root / "masks/a.png");
  write_grey(root / "masks/a_mask.png", {0, 1, 0, 1});
  CHECK_THROWS_WITH(attempt(), Contains("a_mask.png") && Contains("keep one"));
  fs::remove(root / "masks/a_mask.png");
  write_file(root / "images/a.jpg", "");
  CHECK_THROWS_WITH(attempt(), Contains("a.png") && Contains("a.jpg is there too; rename one"));
  fs::remove(root / "images/a.jpg");
  write_grey(root / "images/b.png", {9, 200, 9, 190});
  CHECK_THROWS_WITH(attempt(), Contains("b.png") && Contains("a mask file"));
  write_grey(root / "masks/b.png", {0, 1, 0, 1, 0, 0, 0, 0});
  CHECK_THROWS_WITH(attempt(), Contains("4 x 1") && Contains("4 x 2"));
  write_grey(root / "masks/b.png", {0, 3, 200, 40});
  CHECK_THROWS_WITH(attempt(), Contains("lossy compression"));
  write_file(root / "masks/b.png", "no image");
  CHECK_THROWS_AS(attempt(), Failure);
  CHECK_FALSE(fs::exists(root / "out"));
  CHECK(root.entry_count() == 2);
  write_grey(root / "masks/b.png", {0, 1, 0, 1});
  fs::create_directories(root / "out");
  write_file(root / "out/keep", "");
  CHECK_THROWS_WITH(attempt(), Contains("is there already"));
  fs::remove(root / "out/keep");
  CHECK(attempt().images == 2);
}

TEST_CASE("nuclei: arrange removes what it made and nothing else", "[nuclei][arrange]") {
  const TempFolder root;
  fs::create_directories(root / "images");
  fs::create_directories(root / "masks");
  write_grey(root / "images/a.png", {9, 200, 9, 190});
  write_grey(root / "masks/a.png", {0, 1, 0, 1});
  const auto attempt = [&] { return arrange(root / "images", root / "masks", root / "out"); };
  for (const char* name : {"out.partial", "out.partial-0"}) {
    fs::create_directories(root / name);
    write_file((root / name) / "precious", "text");
  }
  CHECK(attempt().images == 1);
  fs::remove_all(root / "out");
  write_file(root / "images/b.png", "no image");
  write_file(root / "masks/b.png", "no image");
  CHECK_THROWS_AS(attempt(), Failure);
  CHECK(root.entry_count() == 4);
  for (const char* name : {"out.partial", "out.partial-0"})
    CHECK(read_file((root / name) / "precious") == "text");
  fs::remove(root / "images/b.png");
  fs::remove(root / "masks/b.png");

  // What a killed run left is removed, and not what a running one makes.
  fs::create_directories(root / "out.partial-1/a");
  write_file(root / "out.partial-1/.nuclei-partial", "");
  const PartialFolder running(root / "out");
  CHECK(running.path() == root / "out.partial-1");
  CHECK_FALSE(fs::exists(root / "out.partial-1/a"));
  CHECK(attempt().images == 1);
  CHECK(fs::exists(running.path()));
  CHECK_FALSE(fs::exists(root / "out/.nuclei-partial"));

  // A folder that somebody fills meanwhile stays.
  PartialFolder late(root / "late");
  fs::create_directories(root / "late");
  write_file(root / "late/precious", "text");
  CHECK_THROWS_WITH(late.commit(), Contains("late") && Contains("not empty"));
  CHECK(read_file(root / "late/precious") == "text");
}

TEST_CASE("nuclei: of several pages and channels the ones asked for are arranged", "[nuclei][arrange]") {
  const TempFolder root;
  fs::create_directories(root / "images");
  fs::create_directories(root / "masks");
  const auto attempt = [&](const ReadOptions& choice) {
    fs::remove_all(root / "out");
    arrange(root / "images", root / "masks", root / "out", choice);
    return read_image(root / "out/a/images/a.png")[1];
  };
  write_grey(root / "masks/a.png", {0, 1, 0, 1});
  write_pages(root / "images/a.tif", 4, {{1, 11, 1, 1}, {2, 22, 2, 2}});
  CHECK(attempt({}) == Approx(11 / 255.0));
  CHECK(attempt({.page = 2}) == Approx(22 / 255.0));
  CHECK_THROWS_WITH(attempt({.page = 3}), Contains("no page 3"));
  write_pages(root / "images/a.tif", 4, {{1, 5, 11, 55, 1, 5, 1, 5}}, 2);
  CHECK(attempt({}) == Approx(11 / 255.0));
  CHECK(attempt({.channel = "2"}) == Approx(55 / 255.0));
  // A channel of a PNG is no copy of the file.
  fs::remove(root / "images/a.tif");
  const Pixels rgb{1, 2, 3, 10, 20, 30, 1, 2, 3, 1, 2, 3};
  write_png8(root / "images/a.png", {4, 1, 3, rgb});
  CHECK(attempt({.channel = "3"}) == Approx(30 / 255.0));
  CHECK(read_image(root / "out/a/images/a.png").channels == 1);

  fs::remove(root / "masks/a.png");
  write_pages(root / "masks/a.tif", 4, {{0, 1, 0, 1}, {0, 1, 0, 1}});
  CHECK_THROWS_WITH(attempt({}), Contains("a.tif") && Contains("2 pages"));
  write_pages(root / "masks/a.tif", 4, {{0, 1, 1, 1, 0, 0, 0, 0}}, 2);
  CHECK_THROWS_WITH(attempt({}), Contains("a.tif") && Contains("several channels"));
}

TEST_CASE("nuclei: a background that has a value is not called a nucleus in silence", "[nuclei][arrange]") {
  Image dark(20, 20, 1);
  LabelMap inverted(20, 20), whole(20, 20), right(20, 20);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 20; ++x) {
      const bool nucleus = (x / 5 + y / 5) % 2 == 0;
      dark.at(x, y) = nucleus ? 0.8f : 0.1f;
      right.at(x, y) = nucleus;
      inverted.at(x, y) = !nucleus;
      whole.at(x, y) = nucleus ? 2 : 1;
    }
  }
  CHECK(background_labels(dark, right, Modality::fluorescence).empty());
  CHECK(background_labels(dark, inverted, Modality::fluorescence) == std::vector<std::int32_t>{1});
  CHECK(background_labels(dark, whole, Modality::fluorescence) == std::vector<std::int32_t>{1});
  CHECK(background_labels(dark, LabelMap(20, 20), Modality::fluorescence).empty());
  Image light = dark;
  for (float& value : light) value = 1 - value;
  CHECK(background_labels(light, right, Modality::stained).empty());
  CHECK(background_labels(light, inverted, Modality::stained) == std::vector<std::int32_t>{1});
}

TEST_CASE("nuclei: .ome.tif is one ending", "[nuclei][arrange]") {
  for (const auto& [file, name] : {std::pair{"a.tif", "a"},
                                   {"a.ome.tif", "a"},
                                   {"A.OME.TIFF", "A"},
                                   {"x/a.b.ome.btf", "a.b"},
                                   {"a.b.png", "a.b"},
                                   {"some.tif", "some"},
                                   {".ome.tif", ".ome"}})
    CHECK(name_of(file) == name);
  const TempFolder root;
  for (const char* folder : {"images", "masks"}) fs::create_directories(root / folder);
  for (const auto& [image, mask] : {std::pair{"a.ome.tif", "a.png"},
                                    {"b.ome.tiff", "b_mask.png"},
                                    {"c.png", "c.ome.tif"},
                                    {"d.ome.tif", "d.ome.tif"}}) {
    write_pages(root / "images" / image, 4, {{9, 200, 9, 190}});
    write_pages(root / "masks" / mask, 4, {{0, 1, 0, 1}});
  }
  CHECK(arrange(root / "images", root / "masks", root / "out").images == 4);
  for (const char* name : {"a", "b", "c", "d"})
    CHECK(fs::exists(root / "out" / name / "images" / (std::string(name) + ".png")));
}

TEST_CASE("nuclei: what systems leave in folders is passed over", "[nuclei][arrange]") {
  const TempFolder root;
  write_grey(root / "images/a.png", {9, 200, 9, 190});
  write_grey(root / "masks/a.png", {0, 1, 0, 1});
  for (const char* folder : {"images", "masks"})
    for (const char* name : {".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "Desktop.ini"})
      write_file(root / folder / name, "not a picture");
  CHECK(arrange(root / "images", root / "masks", root / "out").images == 1);
}

TEST_CASE("nuclei: holes of an image are arranged as background", "[nuclei][arrange]") {
  const TempFolder root;
  for (const char* folder : {"images", "masks"}) fs::create_directories(root / folder);
  std::vector<float> pixels(20 * 20, 5000);
  std::fill_n(pixels.begin() + 200, 40, 5900.0f);
  for (const bool light : {false, true}) {
    std::vector<float> stored = pixels;
    if (light)
      for (float& value : stored) value = 11000 - value;
    std::fill_n(stored.begin(), 30, std::numeric_limits<float>::quiet_NaN());
    std::vector<std::vector<std::uint8_t>> rows;
    for (auto row = stored.begin(); row != stored.end(); row += 20)
      rows.push_back(nuclei::test::bytes_of(std::vector<float>(row, row + 20)));
    nuclei::test::write_tiff(
        root / "images/a.tif",
        {.width = 20, .height = 20, .bits = 32, .format = SAMPLEFORMAT_IEEEFP, .pieces = rows});
    nuclei::write_png8(root / "masks/a.png", Picture(20, 20));
    arrange(root / "images", root / "masks", root / (light ? "light" : "dark"));
    const Image image = read_image(root / (light ? "light" : "dark") / "a/images/a.png");
    CHECK(image[0] == image[100]);
    CHECK(image[0] != image[200]);
  }
}

TEST_CASE("nuclei: a grey TIFF of 16 bits is arranged as a PNG of 16 bits", "[nuclei][arrange]") {
  const TempFolder root;
  fs::create_directories(root / "images");
  const auto value = [](int x, int y, int) { return 300 * x + 9000 * y; };
  nuclei::test::write(root / "images/a.tif", {{.width = 4, .height = 3, .bits = 16, .value = value}});
  write_grey(root / "masks/a.png", {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(arrange(root / "images", root / "masks", root / "out").nuclei == 2);
  const Image before = read_image(root / "images/a.tif"), after = read_image(root / "out/a/images/a.png");
  CHECK(after.bit_depth == 16);
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).margin(1e-5));
}
