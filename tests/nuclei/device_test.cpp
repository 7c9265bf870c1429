// The program and its devices: what it says without a GPU, and that it learns on one what it learns on the
// CPU, in f32 and in bf16.
#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include <karyon/karyon.h>

#include "dataset/synthetic.h"
#include "inference/segmenter.h"
#include "program.h"
#include "temp_folder.h"
#include "test_device.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::device;
using karyon::test::TempFolder;
using nuclei::test::Result;
using nuclei::test::shell;

namespace {

// The numbers of a training's metrics.csv, by column; times are left out.
std::map<std::string, std::vector<double>> metrics(const fs::path& folder) {
  std::ifstream file(folder / "metrics.csv");
  std::string line, cell;
  std::vector<std::string> columns;
  std::map<std::string, std::vector<double>> out;
  for (bool head = true; std::getline(file, line); head = false) {
    std::istringstream cells(line);
    for (std::size_t i = 0; std::getline(cells, cell, ','); ++i) {
      if (head) {
        columns.push_back(cell);
      } else if (columns.at(i).find("second") == std::string::npos && !cell.empty()) {
        out[columns[i]].push_back(std::stod(cell));
      }
    }
  }
  return out;
}

// Any shared library.
fs::path a_library() {
  Dl_info info{};
  REQUIRE(dladdr(dlsym(RTLD_DEFAULT, "cos"), &info) != 0);
  return info.dli_fname;
}

}  // namespace

TEST_CASE("nuclei: without a GPU it says why in one line, and auto goes on without") {
  const TempFolder folder;
  const std::string nowhere = "KARYON_CUDA_PLUGIN=/nowhere/libkaryon_cuda.so";
  const std::string model = (folder.path() / "model.safetensors").string();
  karyon::save_unet(karyon::UNet({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2}), model);
  const std::vector<nuclei::Example> examples{nuclei::make_synthetic(1, 48, 48)};
  nuclei::write_bowl(folder.path() / "data", examples);
  const std::string evaluate = " $nuclei evaluate --model " + model + " --data " +
                               (folder.path() / "data").string() + " --no-report --device ";

  Result r = shell(nowhere + " $nuclei info --devices");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("cpu:0") && Contains("cuda    not used: /nowhere/libkaryon_cuda.so"));
  CHECK(std::count(r.text.begin(), r.text.end(), '\n') == 2);
  r = shell(nowhere + evaluate + "cuda");
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("--device cuda") && Contains("/nowhere") && Contains("--device cpu"));
  r = shell(nowhere + evaluate + "auto");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("on the CPU, without CUDA: /nowhere"));
  CHECK_THAT(shell(nowhere + evaluate + "cpu").text, !Contains("CUDA"));
  // A library, but another one.
  r = shell("KARYON_CUDA_PLUGIN=" + a_library().string() + " $nuclei info --devices");
  CHECK_THAT(r.text, Contains(a_library().string() + " is not Karyon's CUDA backend"));
  for (const char* relative : {"libm.so.6", "./libkaryon_cuda.so"}) {
    r = shell("KARYON_CUDA_PLUGIN=" + std::string(relative) + " $nuclei info --devices");
    CHECK_THAT(r.text, Contains("KARYON_CUDA_PLUGIN: expects a path that begins with /, got " +
                                std::string(relative)));
  }
}

TEST_CASE("nuclei: no library of the current folder is opened") {
  const TempFolder folder;
  const fs::path data = folder.path() / "data";
  fs::create_directories(data / "nuclei");  // what a search for the program by its name would find
  fs::create_directories(folder.path() / "lib");
  for (const fs::path& place : {data, data / "nuclei", folder.path() / "lib"})
    fs::copy_file(a_library(), place / "libkaryon_cuda.so");
  const std::string here = "cd " + data.string() + "; PATH=$(dirname $nuclei):$PATH; ";
  for (const char* call : {"nuclei", "LD_LIBRARY_PATH=: nuclei", "LD_LIBRARY_PATH=. nuclei",
                           "bash -c 'exec -a ./nuclei nuclei \"$@\"' -"}) {
    const Result r = shell(here + call + " info --devices");
    CHECK(r.code == 0);
    CHECK_THAT(r.text, !Contains("is not Karyon's") && !Contains(folder.path().string()));
  }
  const Result r = shell(here + "bash -c 'exec -a " + (data / "nuclei").string() + " nuclei info --devices'");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, !Contains("is not Karyon's"));
}

TEST_CASE("nuclei: a training on the device of the tests has the CPU's losses") {
  const TempFolder folder;
  std::vector<nuclei::Example> examples;
  for (std::uint64_t i = 0; i < 6; ++i) examples.push_back(nuclei::make_synthetic(i, 48, 48));
  nuclei::write_bowl(folder.path() / "data", examples);
  const std::string settings =
      "train --data " + (folder.path() / "data").string() +
      " --epochs 2 --crop 32 --batch-size 2 --base-width 4 --depth 2 --validation 0.3 --threads 2 ";
  std::vector<std::map<std::string, std::vector<double>>> found;
  const bool gpu = device() != karyon::Device::cpu();
  const std::string there = gpu ? "--device cuda" : "--device auto";
  const auto train = [&](const std::string& how) {
    const fs::path out = folder.path() / std::to_string(found.size());
    const Result r = shell("$nuclei " + settings + how + " --out " + out.string());
    REQUIRE(r.code == 0);
    if (gpu && how != "--device cpu") CHECK_THAT(r.text, !Contains("without CUDA"));
    found.push_back(metrics(out));
    return out;
  };
  const auto losses_agree = [&](const auto& some, double tolerance) {
    REQUIRE(found[0].size() >= 3);
    for (const auto& [column, values] : found[0]) {
      INFO(column);
      REQUIRE(some.at(column).size() == values.size());
      for (std::size_t i = 0; i < values.size(); ++i)
        if (column.find("loss") != std::string::npos)
          CHECK(some.at(column)[i] == Approx(values[i]).epsilon(tolerance));
    }
  };
  train("--device cpu");
  train(there);
  losses_agree(found[1], 1e-3);

  // In bf16 the losses of the same steps are those of f32 but for its 8 bits; what is resumed stays bf16.
  const fs::path out = train(there + " --precision bf16");
  losses_agree(found[2], 0.01);
  CHECK(found[2] != found[1]);
  const Result r = shell("$nuclei train --device cpu --epochs 3 --resume " + out.string());
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("32 x 32, bf16,"));
}
