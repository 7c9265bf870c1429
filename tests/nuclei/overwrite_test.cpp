// What stays in a folder of results: of the earlier run nothing, of the user everything.
#include <catch2/catch.hpp>
#include <set>
#include <sstream>

#include <karyon/karyon.h>

#include "app/predict.h"
#include "common/error.h"
#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "imageio/tiff_writer.h"
#include "temp_folder.h"
#include "workplace.h"

using namespace nuclei;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

/// Pictures a and b in folders of their own, and a small model.
struct Two {
  TempFolder folder;
  PredictOptions options;

  Two() {
    karyon::manual_seed(2);
    test::save_small_model(folder / "model.safetensors");
    for (const char* name : {"a", "b"}) {
      fs::create_directory(folder / name);
      write_png8(picture(name), to_8_bits(make_synthetic(name[0], 64, 48, Style::fluorescence).image));
    }
    options.model = folder / "model.safetensors";
    options.out = folder / "out";
    options.inputs = {picture("a")};
    options.results.coco = options.results.bowl = options.results.rois = options.results.geojson = true;
    options.results.probabilities = true;
  }
  fs::path picture(const std::string& name) const { return folder / name / (name + ".png"); }
  std::set<std::string> files() const {
    std::set<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(options.out))
      if (entry.is_regular_file()) all.insert(fs::relative(entry.path(), options.out).string());
    return all;
  }
};

using Files = std::set<std::string>;

}  // namespace

TEST_CASE("nuclei: --overwrite leaves nothing of the run before, and all that is the user's",
          "[nuclei][overwrite]") {
  Two t;
  predict(t.options);
  REQUIRE(t.files().size() == 6 + 5);
  const Files mine{"labels/mine.png", "labels/a.txt", "notes.txt", "scores/a.png"};
  fs::create_directory(t.options.out / "scores");
  for (const std::string& file : mine) write_file(t.options.out / file, "mine");
  t.options.inputs = {t.picture("b")};
  t.options.overwrite = true;
  t.options.results = {};
  predict(t.options);
  Files expected{"labels/b.png", "overlays/b.png", "nuclei.csv", "images.csv", "finished.jsonl"};
  expected.insert(mine.begin(), mine.end());
  CHECK(t.files() == expected);
  CHECK_FALSE(fs::exists(t.options.out / "rois"));

  // A kind of file that the earlier run did not write is the user's.
  t.options.results = {.labels = LabelFormat::none, .overlays = false, .table = false};
  predict(t.options);
  for (const char* file : {"labels/b.png", "nuclei.csv", "coco.json"})
    write_file(t.options.out / file, "mine");
  predict(t.options);
  for (const char* file : {"labels/b.png", "nuclei.csv", "coco.json"})
    CHECK(read_file(t.options.out / file) == "mine");
}

TEST_CASE("nuclei: --overwrite leaves nothing of the run before also where it fails", "[nuclei][overwrite]") {
  Two t;
  predict(t.options);
  const Files before = t.files();
  t.options.overwrite = true;
  // Nothing to read, or no model: nothing is begun.
  t.options.inputs = {t.folder / "nowhere.png"};
  CHECK_THROWS_AS(predict(t.options), Failure);
  t.options.inputs = {t.options.out / "overlays/a.png"};
  CHECK_THROWS_WITH(predict(t.options),
                    Contains("overlays/a.png") && Contains("a result of the earlier run"));
  CHECK(t.files() == before);
  write_file(t.picture("b"), "no picture");
  t.options.inputs = {t.picture("b")};
  CHECK(predict(t.options).failed == 1);
  CHECK(t.files().empty());
}

TEST_CASE("nuclei: of a picture that was not finished nothing stays", "[nuclei][overwrite]") {
  Two t;
  predict(t.options);
  const Files complete = t.files();
  // What a run leaves that is killed in the middle of b.
  const auto kill_in_b = [&] {
    write_file(t.options.out / "unfinished", "b\n");
    for (const char* file : {"labels/b.png", "coco/b.json"}) write_file(t.options.out / file, "half");
  };
  kill_in_b();
  t.options.resume = true;
  CHECK(predict(t.options).skipped == 1);
  CHECK(t.files() == complete);
  // Of a name with a line break the beginning is another name.
  write_file(t.options.out / "unfinished", "b\nc\n");
  write_file(t.options.out / "labels/b.png", "mine");
  write_file(t.options.out / "labels/b\nc.png", "half");
  predict(t.options);
  CHECK_FALSE(fs::exists(t.options.out / "labels/b\nc.png"));
  CHECK(read_file(t.options.out / "labels/b.png") == "mine");
  kill_in_b();
  t.options.resume = false;
  t.options.overwrite = true;
  CHECK(predict(t.options).images == 1);
  CHECK(t.files() == complete);
  // A picture that fails after its first files were written.
  fs::remove_all(t.options.out);
  t.options.overwrite = false;
  t.options.inputs = {t.picture("a"), t.picture("b")};
  t.options.max_memory = 500'000;  // opens them, and is too little to work with
  CHECK(predict(t.options).failed == 2);
  CHECK(t.files() == Files{"bowl.csv", "finished.jsonl", "images.csv", "nuclei.csv"});
}

TEST_CASE("nuclei: results whose names are not UTF-8 are known again", "[nuclei][overwrite]") {
  Two t;
  fs::rename(t.picture("a"), t.folder / "a/\xe4.png");
  t.options.inputs = {t.folder / "a"};
  predict(t.options);
  t.options.resume = true;
  CHECK(predict(t.options).skipped == 1);
  t.options.resume = false;
  t.options.overwrite = true;
  t.options.inputs = {t.picture("b")};
  predict(t.options);
  CHECK(t.files().count("labels/\xe4.png") == 0);
}

TEST_CASE("nuclei: a list of results cannot name files elsewhere", "[nuclei][overwrite]") {
  Two t;
  predict(t.options);
  fs::create_directories(t.folder / "labels");
  write_file(t.folder / "labels/victim.png", "mine");
  std::string list = read_file(t.options.out / "finished.jsonl");
  list.replace(list.find("\"name\":\"a\""), 10, "\"name\":\"../../labels/victim\"");
  write_file(t.options.out / "finished.jsonl", list);
  write_file(t.options.out / "unfinished", "../../labels/victim\n");
  t.options.overwrite = true;
  predict(t.options);
  CHECK(read_file(t.folder / "labels/victim.png") == "mine");
}

TEST_CASE("nuclei: every picture has its row in images.csv, also one without nuclei", "[nuclei][predict]") {
  Two t;
  const std::vector<std::uint16_t> black(3 * 3);  // too small for a nucleus
  TiffWriter writer(t.folder / "a/black.tif", 3, 3, 1, TiffWriter::Sample::u16, 0.5, 0.5);
  writer.append(black.data(), 3);
  writer.commit();
  t.options.inputs = {t.folder / "a"};
  t.options.zoom = 1;
  const PredictSummary done = predict(t.options);
  std::istringstream table(read_file(t.options.out / "images.csv"));
  std::string header, a, other;
  std::getline(table, header);
  CHECK(header ==
        "image,nuclei,width,height,pixel_size_um,zoom,nuclei_share,mean_area,median_area,mean_area_um2,"
        "median_area_um2,nuclei_per_mm2,note,file");
  std::getline(table, a);
  std::getline(table, other);
  CHECK(a.starts_with("a," + std::to_string(done.nuclei) + ",64,48,,1,"));
  CHECK(other == "black,0,3,3,0.50000,1,0.00000,,,,,0.00,," + (t.folder / "a/black.tif").string());
  t.options.overwrite = true;
  t.options.results.table = false;
  predict(t.options);
  CHECK_FALSE(fs::exists(t.options.out / "images.csv"));
}
