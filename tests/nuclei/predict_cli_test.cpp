// Prediction as its users meet it: exit codes, messages, results, models that are refused.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include <karyon/karyon.h>

#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "inference/segmenter.h"
#include "program.h"
#include "tiff_pages.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::write_file;
using nuclei::test::files_in;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::Workplace;
using nuclei::test::write_pages;

TEST_CASE("nuclei: pictures that cannot be read are named and skipped") {
  const Workplace w;
  const std::string whole = read_file(w.a_picture());
  fs::create_directories(w.root / "mixed");
  write_file(w.root / "mixed/text.png", "this is not a picture");
  write_file(w.root / "mixed/cut.png", whole.substr(0, whole.size() / 2));
  write_file(w.root / "mixed/empty.png", "");
  fs::copy_file(w.a_picture(), w.root / "mixed/good.png");
  const Result r = shell(w.predict((w.root / "mixed").string()));
  CHECK(r.code == 1);
  for (const char* name : {"text.png", "cut.png", "empty.png", "3 of 4"}) CHECK_THAT(r.text, Contains(name));
  CHECK(fs::exists(w.root / "out/labels/good.png"));
  CHECK(files_in(w.root / "out") == 5);  // labels, overlay, nuclei.csv, images.csv, finished.jsonl

  fs::remove_all(w.root / "out");
  CHECK(shell(w.predict((w.root / "mixed/cut.png").string())).code == 1);
  CHECK(files_in(w.root / "out") == 0);
  CHECK(shell(w.predict((w.root / "missing.png").string())).code == 1);
  fs::create_directories(w.root / "empty");
  CHECK(shell(w.predict((w.root / "empty").string())).code == 1);
}

TEST_CASE("nuclei: one pixel, 16 bits and grey are pictures like any other") {
  const Workplace w;
  fs::create_directories(w.root / "odd");
  nuclei::write_png8(w.root / "odd/one.png", {1, 1, 3, {90, 10, 30}});
  const nuclei::Example e = nuclei::make_synthetic(3, 70, 51, nuclei::Style::fluorescence);
  nuclei::Raster<std::uint16_t> deep(70, 51);
  std::ranges::transform(e.image, deep.begin(), [](float v) { return static_cast<std::uint16_t>(v * 3000); });
  nuclei::write_png8(w.root / "odd/grey.png", nuclei::to_8_bits(e.image));
  nuclei::write_png16(w.root / "odd/deep.png", deep);
  CHECK(shell(w.predict((w.root / "odd").string())).code == 0);
  for (const auto& [name, width, height] : {std::tuple{"one", 1, 1}, {"grey", 70, 51}, {"deep", 70, 51}}) {
    const nuclei::Image labels = nuclei::read_image(w.root / "out/labels" / (std::string(name) + ".png"));
    CHECK(labels.width == width);
    CHECK(labels.height == height);
    CHECK(labels.bit_depth == 16);
    CHECK(nuclei::read_image(w.root / "out/overlays" / (std::string(name) + ".png")).width == width);
  }
  CHECK_THAT(read_file(w.root / "out/nuclei.csv"),
             Contains("image,label,area,centroid_x,centroid_y,bbox_x0"));
}

TEST_CASE("nuclei: a model file that is cut, of another network or not finite is refused") {
  const Workplace w;
  const std::string whole = read_file(w.model()), picture = w.a_picture().string();
  const fs::path bad = w.root / "bad.safetensors";
  const std::string command =
      "$nuclei predict --model " + bad.string() + " --out " + (w.root / "out").string() + " " + picture;
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, whole.size() / 3, whole.size() - 1}) {
    write_file(bad, whole.substr(0, size));
    const Result r = shell(command);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains("bad.safetensors"));
  }
  karyon::save_safetensors(bad, {{{"weight", karyon::zeros({2, 2})}}, {}});
  CHECK(shell(command).code == 1);
  karyon::save_unet(karyon::UNet({.in_channels = 1, .base_width = 4, .depth = 2}), bad);
  CHECK_THAT(shell(command).text, Contains("input channels"));
  karyon::save_unet(karyon::UNet({.out_channels = 1, .base_width = 4, .depth = 2}), bad);
  CHECK_THAT(shell(command).text, Contains("output channels"));
  karyon::save_unet(karyon::UNet({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2}), bad,
                    {{nuclei::thresholds_key, "{\"nucleus\": \"x\"}"}});
  CHECK_THAT(shell(command).text, Contains("thresholds"));
  karyon::UNet poisoned({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2});
  karyon::Tensor weight = poisoned.parameters()[0].detach();
  weight.fill_(std::numeric_limits<double>::quiet_NaN());
  karyon::save_unet(poisoned, bad);
  const Result r = shell(command);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("NaN") || Contains("nan") || Contains("finite"));
  CHECK(files_in(w.root / "out") == 0);
  CHECK(shell("$nuclei info " + bad.string() + "x").code == 1);
  CHECK(shell("$nuclei info " + w.model().string()).code == 0);
}

TEST_CASE("nuclei: a model at half the size answers the same to a rounding") {
  const Workplace w;
  const fs::path small = w.root / "small.safetensors";
  REQUIRE(shell("$nuclei shrink " + w.model().string() + " --out " + small.string()).code == 0);
  const karyon::StateDict before = karyon::load_unet(w.model())->state_dict(),
                          after = karyon::load_unet(small)->state_dict();
  REQUIRE(after.size() == before.size());
  for (const auto& [name, tensor] : before) {
    const auto a = tensor.to_vector<double>(), b = after.at(name).to_vector<double>();
    for (std::size_t i = 0; i < a.size(); ++i)
      REQUIRE(std::abs(a[i] - b[i]) <= (tensor.dim() == 4 ? std::abs(a[i]) / 256 : 0));
  }
  CHECK(fs::file_size(small) < 0.7 * static_cast<double>(fs::file_size(w.model())));
  CHECK(shell("$nuclei shrink " + w.a_picture().string() + " --out " + small.string()).code == 1);
  CHECK(shell("$nuclei shrink " + w.model().string()).code == 2);
  // Other thresholds may go with the copy.
  const std::string mine = (w.root / "mine.safetensors").string(),
                    shrink = "$nuclei shrink " + w.model().string() + " --out " + mine + " --thresholds ";
  CHECK(shell(shrink + R"('{"nucleus": 0.4, "prominence": 0.2, "min_area": 9}')").code == 0);
  CHECK_THAT(shell("$nuclei info " + mine).text, Contains(R"("min_area":9,"nucleus":0.4,"prominence":0.2)"));
  for (const char* bad : {"0.4", "'{'", R"('{"nucleus": 0.4}')"})
    CHECK(shell(shrink + bad + " --overwrite").code == 2);
  CHECK(shell("$nuclei shrink " + w.model().string() + " --out /proc/nothing").code == 1);
}

TEST_CASE("nuclei: without a model predict finds nuclei with the one that comes along") {
  const Workplace w;
  const nuclei::Example e = nuclei::make_synthetic(3, 256, 256, nuclei::Style::fluorescence);
  nuclei::write_png8(w.root / "cells.png", nuclei::to_8_bits(e.image));
  const Result r = shell("cd " + w.root.string() + " && $nuclei predict cells.png");
  REQUIRE(r.code == 0);
  const std::string csv = read_file(w.root / "nuclei-out/nuclei.csv");
  const auto found = static_cast<double>(std::count(csv.begin(), csv.end(), '\n') - 1);
  CHECK(found == Approx(nuclei::max_label(e.truth)).epsilon(0.2));
  CHECK(shell("$nuclei evaluate --no-report --data " + w.data.string()).code == 0);
  const Result missing =
      shell("cd " + w.root.string() + " && NUCLEI_MODEL=nowhere $nuclei predict --overwrite cells.png");
  CHECK(missing.code == 1);
  CHECK_THAT(missing.text, Contains("NUCLEI_MODEL"));
}

TEST_CASE("nuclei: the model that comes with it has a name for every command") {
  Workplace w;
  const std::string model = "NUCLEI_MODEL=" + w.model().string() + " ",
                    out = " --out " + (w.root / "out").string();
  CHECK(shell(model + "$nuclei predict --model default " + w.a_picture().string() + out).code == 0);
  for (const char* info : {"info", "info default", "info --model default"})
    CHECK_THAT(shell(model + "$nuclei " + info).text, Contains(w.model().string() + ": "));
  CHECK(shell(model + "$nuclei shrink default --out " + (w.root / "small").string()).code == 0);
  fs::remove_all(w.root / "out");
  CHECK(shell(model + "$nuclei evaluate --no-report --model default --data " + w.data.string()).code == 0);
  CHECK_THAT(
      shell("NUCLEI_MODEL=/nowhere $nuclei predict --model default " + w.a_picture().string() + out).text,
      Contains("NUCLEI_MODEL"));
}

TEST_CASE("nuclei: predict names the picture that its memory does not suffice for") {
  Workplace w;
  const Result r = shell(w.predict(w.data.string() + " --max-memory 1MB"));
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("skipped: " + w.a_picture().string() + ": an image of 48 x 64"));
}

TEST_CASE("nuclei: what predict chose, renamed and passed over is said, once and on lines of its own") {
  Workplace w;
  const fs::path in = w.root / "in";
  fs::create_directories(in);
  std::vector<std::vector<std::uint8_t>> pages(3, std::vector<std::uint8_t>(32 * 32, 9));
  write_pages(in / "u8.tif", 32, pages);
  fs::copy_file(w.a_picture(), in / "u8.png");
  for (const char* name : {"a.czi", "b.CZI", "c.lif", "notes", "Thumbs.db", ".DS_Store"})
    write_file(in / name, "x");
  write_file(in / "broken.png", "x");
  fs::create_directory(in / "more");
  const std::string command = w.predict(in.string() + " " + (in / "u8.png").string());
  Result r = shell(command);
  CHECK(r.code == 1);
  CHECK_THAT(
      r.text,
      Contains("page 1 of 3; --page chooses another") && Contains("results are named u8-2") &&
          Contains("u8.png: given twice, taken once") &&
          Contains("passed over 4 files not PNG, JPEG, BMP or TIFF (2 .czi, 1 .lif, 1 without an ending), "
                   "2 hidden or system files, 1 folder (searched with --recursive)") &&
          Contains("skipped: ") && Contains("2 images; see") && !Contains("finished before"));
  CHECK_THAT(r.text, !Contains("\n\n"));
  CHECK_THAT(shell(command + " --overwrite --page 1").text, !Contains("--page chooses another"));
  CHECK_THAT(shell(command + " --overwrite --page all").text, !Contains("--page chooses another"));
  fs::remove_all(w.root / "out");
  r = shell(w.predict((in / "broken.png").string()));
  CHECK_THAT(r.text, Contains("1 of 1 images failed") && !Contains("see "));
  CHECK_THAT(shell(w.predict((in / "u8.png").string())).text, Contains(" 100 %  ") && !Contains("100/100"));
  fs::remove_all(w.root / "out");
  fs::remove_all(in);
  fs::create_directories(in);
  write_file(in / "a.czi", "x");
  CHECK_THAT(shell(w.predict(in.string())).text,
             Contains("no images here") && Contains("1 .czi") && Contains("TIFF"));
}

TEST_CASE("nuclei: what a file tells of and cannot be read is said, whatever page is asked for") {
  const Workplace w;
  const fs::path file = w.root / "a.ome.tif";
  nuclei::test::write(
      file, nuclei::test::stack(2, "<OME><Image><Pixels SizeC=\"3\"><TiffData/></Pixels></Image></OME>"));
  for (const char* options : {"", " --page 1 --channel 2", " --page all"}) {
    fs::remove_all(w.root / "out");
    const Result r = shell(w.predict(file.string() + options));
    CHECK(r.code == 0);
    CHECK_THAT(r.text, Contains("its OME-XML tells of 3 planes, 2 are in this file"));
  }
  CHECK(fs::exists(w.root / "out/labels/a.png"));
}

TEST_CASE("nuclei: averaged over turned versions, a mirrored picture has mirrored maps") {
  karyon::UNet net({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2});
  net.eval();
  const nuclei::Image picture = nuclei::make_synthetic(1, 40, 32).image;
  nuclei::Image mirrored = picture;
  for (int y = 0; y < picture.height; ++y)
    std::copy_n(picture.row(picture.height - 1 - y), picture.row_size(), mirrored.row(y));
  const auto difference = [&](bool tta) {
    const nuclei::PixelMaps a = nuclei::predict_maps(net, picture, tta).maps,
                            b = nuclei::predict_maps(net, mirrored, tta).maps;
    float largest = 0;
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 40; ++x) largest = std::max(largest, std::abs(a.at(x, y) - b.at(x, 31 - y)));
    return largest;
  };
  CHECK(difference(true) < 1e-5f);
  CHECK(difference(false) > 1e-3f);

  Workplace w;
  const fs::path json = w.root / "scores.json";
  REQUIRE(shell("$nuclei evaluate --tta --precision bf16 --no-report --model " + w.model().string() +
                " --data " + w.data.string() + " --json " + json.string())
              .code == 0);
  CHECK(shell("grep -c '\"tta\": true' " + json.string()).code == 0);
  CHECK(shell("grep -c '\"zoom\": \"auto\"' " + json.string()).code == 0);
  CHECK(shell("grep -c '\"precision\": \"bf16\"' " + json.string()).code == 0);
}

TEST_CASE(
    "nuclei: predict sees images at another size where --zoom says so, and tells of pixels without a value") {
  const Workplace w;
  const fs::path holes = w.root / "holes.tif";
  nuclei::test::write(
      holes,
      {{.width = 40, .height = 30, .bits = 32, .format = SAMPLEFORMAT_IEEEFP, .value = [](int x, int y, int) {
          return x == 3 && y < 7 ? NAN : x * y;
        }}});
  Result r = shell(w.predict(holes.string() + " --zoom 2 --labels tiff"));
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("holes.tif: 7 pixels without a value (NaN or infinite)"));
  CHECK(nuclei::read_image(w.root / "out/labels/holes.tif").width == 40);
  CHECK_THAT(read_file(w.root / "out/images.csv"), Contains(",40,30,,2,"));
  fs::remove_all(w.root / "out");
  r = shell(w.predict(holes.string() + " --zoom 0.5"));
  CHECK(r.code == 0);
  CHECK_THAT(read_file(w.root / "out/images.csv"), Contains(",40,30,,0.500,"));
}
