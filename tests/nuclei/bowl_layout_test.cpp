#include "dataset/bowl_layout.h"

#include <catch2/catch.hpp>

#include "common/error.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

void add_png(const fs::path& path, int width, int height, std::vector<std::uint8_t> pixels) {
  fs::create_directories(path.parent_path());
  write_png8(path, {width, height, 1, std::move(pixels)});
}

void add_sample(const fs::path& root, const std::string& id, bool with_mask) {
  add_png(root / id / "images" / (id + ".png"), 2, 1, {9, 200});
  if (with_mask) add_png(root / id / "masks" / "1.png", 2, 1, {0, 255});
}

}  // namespace

TEST_CASE("nuclei: a bowl folder is listed by id", "[nuclei][bowl]") {
  const TempFolder root;
  for (const char* id : {"b", "c", "a"}) add_sample(root.path(), id, true);
  write_file(root / "labels.csv", "a file among the folders");
  write_file(root / "a/masks/._1.png", "a hidden file of macOS");
  fs::create_directories(root / ".hidden");
  const std::vector<Sample> samples = scan_bowl(root.path(), true);
  REQUIRE(samples.size() == 3);
  CHECK(samples[0].id == "a");
  CHECK(samples[2].id == "c");
  CHECK(samples[0].image == root / "a/images/a.png");
  CHECK(samples[0].masks == std::vector<fs::path>{root / "a/masks/1.png"});
}

TEST_CASE("nuclei: folders not in the layout are explained", "[nuclei][bowl]") {
  const TempFolder root;
  CHECK_THROWS_WITH(scan_bowl(root / "none", false), Contains("nothing of this name"));
  write_file(root / "file", "");
  CHECK_THROWS_WITH(scan_bowl(root / "file", false), Contains("this is a file"));
  CHECK_THROWS_WITH(scan_bowl(root.path(), false), Contains("<id>/images/*.png"));
  add_sample(root / "inner", "a", true);
  CHECK_THROWS_WITH(scan_bowl(root.path(), false), Contains("pass " + (root / "inner").string()));
  CHECK_THROWS_WITH(scan_bowl(root / "inner/a", false), Contains("pass the folder above"));
}

TEST_CASE("nuclei: an id without an image or with several is refused", "[nuclei][bowl]") {
  const TempFolder root;
  add_sample(root.path(), "a", true);
  fs::create_directories(root / "b/images");
  CHECK_THROWS_WITH(scan_bowl(root.path(), false), Contains("/b") && Contains("there is none"));
  add_png(root / "b/images/1.png", 1, 1, {0});
  CHECK_NOTHROW(scan_bowl(root.path(), false));
  add_png(root / "b/images/2.PNG", 1, 1, {0});
  CHECK_THROWS_WITH(scan_bowl(root.path(), false), Contains("there are 2"));
}

TEST_CASE("nuclei: images without masks are counted and listed", "[nuclei][bowl]") {
  const TempFolder root;
  add_sample(root.path(), "good", true);
  for (const char* id : {"p", "q", "r", "s"}) add_sample(root.path(), id, false);
  CHECK(scan_bowl(root.path(), false).size() == 5);
  CHECK_THROWS_WITH(scan_bowl(root.path(), true), Contains("4 of 5") && Contains("p, q, r, ..."));
}

TEST_CASE("nuclei: masks become dense labels, the first keeps a shared pixel", "[nuclei][bowl]") {
  const TempFolder root;
  add_png(root / "1.png", 4, 1, {255, 255, 0, 0});
  add_png(root / "2.png", 4, 1, {255, 255, 0, 0});  // covered wholly
  add_png(root / "3.png", 4, 1, {0, 1, 1, 0});
  const Sample sample{"x", {}, {root / "1.png", root / "2.png", root / "3.png"}};
  CHECK(read_labels(sample, 4, 1).values == std::vector<std::int32_t>{1, 1, 2, 0});
  CHECK_THROWS_WITH(read_labels(sample, 2, 2), Contains("2 x 2") && Contains("4 x 1"));
}
