// Batches: names, settings, interruption, continuation.
#include "app/predict.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <set>
#include <sstream>

#include <karyon/karyon.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "imageio/tiff_writer.h"
#include "inference/segmenter.h"
#include "temp_folder.h"
#include "workplace.h"

using namespace nuclei;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

struct Batch {
  TempFolder folder;
  PredictOptions options;

  Batch() {
    karyon::manual_seed(2);
    test::save_small_model(folder / "model.safetensors");
    fs::create_directory(folder / "in");
    for (int i = 0; i < 5; ++i) add("picture" + std::to_string(i), static_cast<std::uint64_t>(i));
    options.model = folder / "model.safetensors";
    options.inputs = {folder / "in"};
    options.out = folder / "out";
    options.overwrite = true;
    options.results.coco = options.results.bowl = options.results.rois = options.results.geojson = true;
    options.results.probabilities = true;
  }
  void add(const std::string& name, std::uint64_t seed) {
    const Example e = make_synthetic(seed, 64, 48, Style::fluorescence);
    write_png8(folder / "in" / (name + ".png"), to_8_bits(e.image));
  }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "out"))
      if (entry.is_regular_file())
        all[fs::relative(entry.path(), folder / "out").string()] = read_file(entry.path());
    return all;
  }
};

}  // namespace

TEST_CASE("nuclei: every kind of result is there, and the same each time", "[nuclei][predict]") {
  Batch b;
  const PredictSummary done = predict(b.options);
  CHECK(done.images == 5);
  const auto first = b.files();
  for (const char* name : {"labels/picture0.png", "overlays/picture4.png", "probabilities/picture1.tif",
                           "rois/picture2.zip", "geojson/picture3.geojson", "coco/picture0.json", "coco.json",
                           "bowl.csv", "nuclei.csv", "images.csv", "finished.jsonl"})
    CHECK(first.contains(name));
  CHECK(first.size() == 6 * 5 + 5);
  const auto coco = nlohmann::json::parse(first.at("coco.json"));
  CHECK(coco["images"].size() == 5);
  CHECK(static_cast<std::int64_t>(coco["annotations"].size()) == done.nuclei);
  const std::string& csv = first.at("nuclei.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == done.nuclei + 1);
  predict(b.options);
  CHECK((b.files() == first));
}

TEST_CASE("nuclei: bf16 gives nearly what f32 gives", "[nuclei][predict]") {
  Batch b;
  const auto probabilities = [&](const char* precision) {
    b.options.precision = precision;
    predict(b.options);
    return read_image(b.options.out / "probabilities/picture1.tif", {.channel = "1"}).values;
  };
  const std::vector<float> exact = probabilities("f32"), rounded = probabilities("bf16");
  REQUIRE(exact.size() == 64 * 48);
  REQUIRE(rounded.size() == exact.size());
  float largest = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) largest = std::max(largest, std::abs(rounded[i] - exact[i]));
  CHECK(largest > 0);
  CHECK(largest < 0.02f);
  CHECK(karyon::autocast_dtype() == karyon::f32);  // of the caller, as before
  b.options.precision = "f16";
  CHECK_THROWS_WITH(predict(b.options), Contains("--precision: expects f32, tf32 or bf16, got 'f16'"));
}

TEST_CASE("nuclei: an interrupted batch goes on where it stopped", "[nuclei][predict]") {
  Batch b;
  predict(b.options);
  const auto expected = b.files();

  for (const std::size_t lines : {1, 2, 4}) {
    // What a run that was killed leaves: some images are complete, one is half-way in the shared files.
    std::string journal, rest = expected.at("finished.jsonl");
    for (std::size_t i = 0; i < lines; ++i) {
      const std::size_t end = rest.find('\n') + 1;
      journal += rest.substr(0, end);
      rest.erase(0, end);
    }
    write_file(b.options.out / "finished.jsonl", journal + rest.substr(0, rest.find('\n') / 2));
    write_file(b.options.out / "nuclei.csv", expected.at("nuclei.csv") + "picture9,1,half");
    fs::remove(b.options.out / "overlays/picture4.png");
    fs::remove(b.options.out / "coco.json");
    b.options.resume = true;
    b.options.overwrite = false;
    const PredictSummary done = predict(b.options);
    CHECK(done.skipped == lines - 1);
    CHECK(done.images == 6 - lines);
    const auto files = b.files();
    for (const char* shared : {"nuclei.csv", "images.csv", "bowl.csv", "coco.json", "finished.jsonl"})
      CHECK(files.at(shared) == expected.at(shared));
  }
  SECTION("other settings are refused") {
    PredictOptions o = b.options;
    o.tta = true;
    CHECK_THROWS_WITH(predict(o), Contains("other options") && Contains("--overwrite"));
    o = b.options;
    o.precision = "bf16";
    CHECK_THROWS_WITH(predict(o), Contains("other options") && Contains("--overwrite"));
  }
  SECTION("a table that was cut since is refused") {
    write_file(b.options.out / "nuclei.csv", "image\n");
    CHECK_THROWS_WITH(predict(b.options), Contains("nuclei.csv"));
  }
  SECTION("without --continue it is kept, unless it is to be overwritten") {
    b.options.resume = false;
    const auto before = b.files();
    CHECK_THROWS_WITH(predict(b.options), Contains("earlier run") && Contains("--overwrite"));
    CHECK((b.files() == before));
    b.options.overwrite = true;
    CHECK(predict(b.options).images == 5);
    CHECK((b.files() == expected));
  }
}

TEST_CASE("nuclei: where every picture failed, the next run needs no leave to write", "[nuclei][predict]") {
  Batch b;
  b.options.overwrite = false;
  b.options.max_memory = 500'000;
  CHECK(predict(b.options).failed == 5);
  REQUIRE(b.files().contains("finished.jsonl"));
  b.options.max_memory = 2'000'000'000;
  CHECK(predict(b.options).images == 5);
  CHECK_THROWS_WITH(predict(b.options), Contains("earlier run"));
}

TEST_CASE("nuclei: a picture whose results were deleted is worked on again", "[nuclei][predict]") {
  Batch b;
  predict(b.options);
  const auto expected = b.files();
  const auto sorted = [](const std::string& text) {
    std::multiset<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.insert(line);
    return lines;
  };
  b.options.resume = true;
  b.options.overwrite = false;
  for (const char* gone : {"labels/picture0.png", "overlays/picture4.png", "rois/picture2.zip",
                           "coco/picture1.json", "geojson/picture3.geojson", "probabilities/picture3.tif"}) {
    fs::remove(b.options.out / gone);
    const PredictSummary done = predict(b.options);
    CHECK(done.images == 1);
    CHECK(done.skipped == 4);
    const auto files = b.files();
    REQUIRE(files.size() == expected.size());
    CHECK(files.at(gone) == expected.at(gone));
    // Its rows are there once, now at the end.
    for (const char* shared : {"nuclei.csv", "images.csv", "bowl.csv"})
      CHECK(sorted(files.at(shared)) == sorted(expected.at(shared)));
    CHECK(files.at("nuclei.csv").starts_with("image,label,"));
  }
  CHECK(predict(b.options).skipped == 5);
  fs::remove(b.options.out / "nuclei.csv");
  fs::remove(b.options.out / "labels/picture1.png");
  CHECK(predict(b.options).images == 5);
  CHECK((b.files() == expected));
}

TEST_CASE("nuclei: inputs are taken once, and results lead back to them", "[nuclei][predict]") {
  Batch b;
  fs::create_directory(b.folder / "more");
  for (const char* name : {"picture1.png", "other.png"})
    fs::copy_file(b.folder / "in/picture1.png", b.folder / "more" / name);
  b.options.inputs = {b.folder / "in", b.folder / "in/../in/picture1.png", b.folder / "more"};
  const PredictSummary done = predict(b.options);
  CHECK(done.images == 7);
  CHECK(done.skipped == 0);
  const auto files = b.files();
  CHECK_THAT(files.at("nuclei.csv"), Contains(",file\n") &&
                                         Contains("," + (b.folder / "in/picture1.png").string() + "\n") &&
                                         Contains("\npicture1-2,1,") &&
                                         Contains("," + (b.folder / "more/picture1.png").string() + "\n"));
  std::set<std::string> names;
  const auto coco = nlohmann::json::parse(files.at("coco.json"));
  for (const auto& image : coco["images"]) names.insert(image["file_name"].get<std::string>());
  CHECK((names == std::set<std::string>{"picture0.png", "picture1.png", "picture2.png", "picture3.png",
                                        "picture4.png", "other.png"}));
}

TEST_CASE("nuclei: folders inside folders, and a single folder of the layout", "[nuclei][predict]") {
  Batch b;
  b.options.results = {};
  const fs::path root = b.folder / "root";
  fs::create_directories(root / "plate/day1");
  fs::create_directories(root / "empty");
  for (const char* to : {"plate/x.png", "plate/day1/x.png", "plate/day1/y.png"})
    fs::copy_file(b.folder / "in/picture0.png", root / to);
  b.options.inputs = {root};
  CHECK_THROWS_WITH(predict(b.options), Contains("no images here") && Contains("--recursive"));
  b.options.recursive = true;
  CHECK(predict(b.options).images == 3);
  // Results among the inputs are none.
  b.options.out = root / "out";
  b.options.overwrite = true;
  for (int i = 0; i < 2; ++i) CHECK(predict(b.options).images == 3);
  fs::remove_all(root / "out");

  fs::create_directories(b.folder / "set/id/images");
  fs::create_directories(b.folder / "set/id/masks");
  fs::copy_file(b.folder / "in/picture0.png", b.folder / "set/id/images/id.png");
  fs::copy_file(b.folder / "in/picture1.png", b.folder / "set/id/masks/1.png");
  for (const char* input : {"set", "set/id", "set/id/images"})
    for (const bool recursive : {false, true}) {
      b.options.inputs = {b.folder / input};
      b.options.recursive = recursive;
      CHECK(predict(b.options).images == 1);
    }
}

TEST_CASE("nuclei: results that cannot be written end the batch", "[nuclei][predict]") {
  Batch b;
  b.options.results = {};
  predict(b.options);
  fs::remove_all(b.options.out / "labels");
  write_file(b.options.out / "labels", "in the way");
  CHECK_THROWS_WITH(predict(b.options), Contains("labels"));
}

TEST_CASE("nuclei: pages and names of TIFF files", "[nuclei][predict]") {
  Batch b;
  fs::remove_all(b.folder / "in");
  fs::create_directory(b.folder / "in");
  fs::create_directory(b.folder / "in2");
  const std::vector<std::uint16_t> pixels(64 * 48, 300);
  for (const char* name : {"in/a.ome.tif", "in2/a.tiff"}) {
    TiffWriter writer(b.folder / name, 64, 48, 1, TiffWriter::Sample::u16, 0.5, 0.5);
    writer.append(pixels.data(), 48);
    writer.commit();
  }
  b.options.inputs = {b.folder / "in", b.folder / "in2"};
  b.options.results = {.labels = LabelFormat::tiff};
  CHECK(predict(b.options).images == 2);
  CHECK(fs::exists(b.options.out / "labels/a.tif"));
  CHECK(fs::exists(b.options.out / "labels/a-2.tif"));
  CHECK(read_image(b.options.out / "labels/a.tif").pixel_width == Approx(0.5));
  b.options.page = 2;
  const PredictSummary none = predict(b.options);
  CHECK(none.failed == 2);
  b.options.page = 0;
  CHECK(predict(b.options).images == 2);
}

TEST_CASE("nuclei: the model that comes with the program", "[nuclei][predict]") {
  const Batch b;
  setenv("NUCLEI_MODEL", b.options.model.c_str(), 1);
  CHECK(default_model() == b.options.model);
  setenv("NUCLEI_MODEL", "/nowhere/x.safetensors", 1);
  CHECK_THROWS_WITH(default_model(), Contains("/nowhere/x.safetensors"));
  unsetenv("NUCLEI_MODEL");
  try {
    const fs::path model = default_model();
    CHECK(fs::exists(model));
  } catch (const Failure& failure) {
    CHECK_THAT(failure.what(), Contains("--model") && Contains("share/karyon/pretrained"));
  }
}

TEST_CASE("nuclei: sizes of memory", "[nuclei][predict]") {
  CHECK(parse_size("2GB") == 2'000'000'000);
  CHECK(parse_size("500 mb") == 500'000'000);
  CHECK(parse_size("1.5GiB") == 1'610'612'736);
  CHECK(parse_size("1000000") == 1'000'000);
  for (const char* bad : {"", "GB", "-1GB", "0", "2TBs", "nan", "inf", "1e30"})
    CHECK_THROWS_AS(parse_size(bad), UsageError);
}
