// The program as its users meet it: exit codes, messages, files, interruption.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <sstream>
#include <thread>

#include <karyon/karyon.h>

#include "common/stop.h"
#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "inference/segmenter.h"
#include "pages.h"
#include "program.h"
#include "temp_folder.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::write_pages;

namespace {

// A folder with a small data set and the settings of a training that takes a second or two.
struct Workplace {
  TempFolder folder;
  fs::path root = folder.path(), data = root / "data";
  std::string settings = " --data " + data.string() +
                         " --epochs 3 --crop 32 --batch-size 2 --base-width 4 --depth 2 --validation 0.3 ";

  Workplace() {
    std::vector<nuclei::Example> examples;
    for (std::uint64_t i = 0; i < 10; ++i)
      examples.push_back(nuclei::make_synthetic(i, 48 + 16 * static_cast<int>(i % 3), 64));
    nuclei::write_bowl(data, examples);
  }
  fs::path model() const {
    const fs::path file = root / "model.safetensors";
    if (!fs::exists(file))
      karyon::save_unet(karyon::UNet({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2}), file);
    return file;
  }
  std::string predict(const std::string& input) const {
    return "$nuclei predict --model " + model().string() + " --out " + (root / "out").string() + " " + input;
  }
  fs::path a_picture() const { return data / "synthetic-00000/images/synthetic-00000.png"; }
};

std::map<std::string, std::vector<double>> tensors_of(const fs::path& checkpoint) {
  std::map<std::string, std::vector<double>> out;
  for (const auto& [name, tensor] : karyon::load_safetensors(checkpoint).tensors)
    out[name] = tensor.to_vector<double>();
  return out;
}

// A command that is sent a signal as soon as a file exists: twice, as timeout(1) and batch systems do.
std::string signalled(const std::string& command, const std::string& signal, const fs::path& file) {
  const std::string kill = "kill -s " + signal + " $p; ";
  return command + " & p=$!; until [ -e " + file.string() + " ] || ! kill -0 $p; do sleep 0.01; done; " +
         kill + kill + "wait $p";
}

std::size_t files_in(const fs::path& folder) {
  std::size_t n = 0;
  if (fs::exists(folder))
    for (const auto& entry : fs::recursive_directory_iterator(folder)) n += entry.is_regular_file();
  return n;
}

}  // namespace

TEST_CASE("nuclei: a command line that makes no sense ends with 2") {
  const Workplace w;
  for (const char* arguments : {"",
                                "--what",
                                "train",
                                "train --data x",
                                "train --data x --out y --epochs -1",
                                "train --data x --out y --epochs 0",
                                "train --data x --out y --epochs ten",
                                "train --data x --out y --what",
                                "train --data x --out y --lr -1",
                                "train --data x --out y --crop 4",
                                "train --data x --out y --batch-size 0",
                                "train --data x --out y --threads 0",
                                "train --data x --out y --max-minutes 0",
                                "train --data x --out y --device tpu",
                                "train --data x --out y --precision f16",
                                "train --data x --out y --validate-every 0",
                                "train --data x --out y --patience 2 --validate-every 5",
                                "train --resume y --precision bf16",
                                "train --resume y --validate-every 2",
                                "predict",
                                "predict --page 0 image.png",
                                "predict --page x image.png",
                                "predict --zoom 3 image.png",
                                "predict --precision f16 image.png",
                                "evaluate --data x --precision f64",
                                "predict --max-memory much image.png",
                                "predict --labels jpeg image.png",
                                "predict --pixel-size -1 image.png",
                                "evaluate --model m",
                                "info",
                                "doctor",
                                "doctor --data x --what",
                                "fly"}) {
    const Result r = shell("cd " + w.root.string() + " && $nuclei " + std::string(arguments));
    CHECK(r.code == 2);
    CHECK(r.text.size() > 10);
  }
  CHECK_FALSE(fs::exists(w.root / "y"));
  CHECK_THAT(shell("$nuclei train --data x --out y --epochs -1").text,
             Contains("--epochs") && Contains("-1"));
}

TEST_CASE("nuclei: --help and --version end with 0 and show examples") {
  for (const char* arguments : {"--help", "train --help", "predict --help", "evaluate --help", "info --help",
                                "doctor --help", "arrange --help", "demo --help", "--version"})
    CHECK(shell("$nuclei " + std::string(arguments)).code == 0);
  CHECK_THAT(shell("$nuclei --help").text, Contains("Examples"));
}

TEST_CASE("nuclei: data that is not there or not right ends with 1 and leaves nothing") {
  const Workplace w;
  const std::string out = (w.root / "run").string();
  Result r = shell("$nuclei train --data " + (w.root / "nowhere").string() + " --out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("nowhere"));

  fs::create_directories(w.root / "empty");
  CHECK(shell("$nuclei train --data " + (w.root / "empty").string() + " --out " + out).code == 1);

  fs::remove_all(w.data / "synthetic-00003/masks");
  r = shell("$nuclei train" + w.settings + "--out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("mask"));

  r = shell("$nuclei train" + w.settings + "--device cuda --out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("cuda"));
  CHECK_FALSE(fs::exists(out));
}

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
  CHECK(files_in(w.root / "out") == 4);  // labels, overlay, nuclei.csv, finished.jsonl

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

TEST_CASE("nuclei: train, evaluate and predict work end to end") {
  const Workplace w;
  const fs::path run = w.root / "run", json = w.root / "scores.json";
  REQUIRE(shell("$nuclei train" + w.settings + "--out " + run.string()).code == 0);
  const std::string csv = read_file(run / "metrics.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 4);
  const std::string model = (run / "model.safetensors").string();
  CHECK(shell("$nuclei evaluate --model " + model + " --data " + w.data.string() + " --json " + json.string())
            .code == 0);
  CHECK_THAT(read_file(json), Contains("\"dsb_score\"") && Contains("synthetic-00007"));
  // Training and evaluation tell what they did, beside their results, and neither overwrites the other's.
  CHECK_THAT(read_file(run / "report.html"), Contains("epoch 3 of 3") && Contains("data:image/png;base64,"));
  CHECK_THAT(read_file(w.root / "report.html"), Contains("Evaluation") && Contains("How training went"));
  const std::string quick =
      "cd " + run.string() + " && $nuclei evaluate --model model.safetensors --data " + w.data.string();
  CHECK_THAT(shell(quick).text, Contains("evaluation.html"));
  CHECK_THAT(read_file(run / "report.html"), Contains("epoch 3 of 3"));
  CHECK(shell(quick + " --report /dev/full").code == 1);
  fs::remove(run / "evaluation.html");
  CHECK(shell(quick + " --no-report").code == 0);
  CHECK_FALSE(fs::exists(run / "evaluation.html"));
  CHECK(shell("$nuclei predict --model " + model + " --out " + (w.root / "found").string() + " " +
              w.data.string())
            .code == 0);
  CHECK(files_in(w.root / "found") == 22);
  CHECK_THAT(shell("$nuclei info " + model).text, Contains("unet"));
  CHECK(shell("$nuclei info " + (run / "last.ckpt").string()).code == 0);
  // It says which images were held out.
  CHECK_THAT(read_file(run / "split.csv"), Contains("validation") && Contains("synthetic-00003"));
  // A resumed run keeps its settings, and its images.
  CHECK(shell("$nuclei train --lr 0.1 --resume " + run.string()).code == 2);
  fs::rename(w.data / "synthetic-00002", w.data / "synthetic-00099");
  CHECK_THAT(shell("$nuclei train --epochs 5 --resume " + run.string()).text, Contains("not the images"));
  fs::rename(w.data / "synthetic-00099", w.data / "synthetic-00002");
  // The threads can be bounded, by a number.
  CHECK(shell("KARYON_NUM_THREADS=many $nuclei evaluate --no-report --model " + model + " --data " +
              w.data.string())
            .code == 2);
  // A second run does not overwrite the first.
  CHECK(shell("$nuclei train" + w.settings + "--out " + run.string()).code == 1);
  // Results that cannot be written are errors.
  CHECK(shell("$nuclei evaluate --model " + model + " --data " + w.data.string() +
              " --no-report --json /dev/full")
            .code == 1);
  CHECK(shell("$nuclei evaluate --model " + model + " --data " + w.data.string() + " --no-report > /dev/full")
            .code == 1);
  CHECK(shell("$nuclei predict --model " + model + " --out /proc/nothing " + w.a_picture().string()).code ==
        1);
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

TEST_CASE("nuclei: folds are trained in turn, and again where one was stopped") {
  const Workplace w;
  const fs::path out = w.root / "folds";
  const std::string command = "$nuclei train" + w.settings + "--folds 3 --out " + out.string();
  CHECK_THAT(shell(command + " --max-minutes 0.00001").text, Contains("stopped in fold 1 of 3"));
  const Result r = shell(command);
  REQUIRE(r.code == 0);
  CHECK_THAT(r.text, Contains("dice") && Contains("+-"));
  const std::string csv = read_file(out / "folds.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 4);
  CHECK_THAT(read_file(out / "folds.json"), Contains("standard_deviation"));
  for (const char* fold : {"fold-1", "fold-2", "fold-3"}) CHECK(fs::exists(out / fold / "model.safetensors"));
  CHECK(shell("$nuclei train" + w.settings + "--folds 1 --out " + out.string() + "1").code == 2);
  CHECK(shell("$nuclei train" + w.settings + "--fold 2 --out " + out.string() + "1").code == 2);
}

TEST_CASE("nuclei: training on all images keeps the last epoch, with patience the best") {
  const Workplace w;
  const std::string settings =
      " --data " + w.data.string() + " --crop 32 --batch-size 2 --base-width 4 --depth 2 ";
  const std::string run = (w.root / "run").string();
  REQUIRE(shell("$nuclei train" + settings + "--epochs 2 --validation 0 --out " + run).code == 0);
  const std::string info = shell("$nuclei info " + run + "/model.safetensors").text;
  CHECK_THAT(info, Catch::Matches("[^]*nuclei.epoch +2\n[^]*"));
  // At this rate nothing changes, and no epoch is better than the first.
  const Result r =
      shell("$nuclei train" + settings + "--lr 1e-30 --epochs 9 --patience 2 --out " + run + "2");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("this is enough") && !Contains("epoch 6/9"));
}

TEST_CASE("nuclei: held-out images are scored only after the epochs that are asked for, and the last") {
  const Workplace w;
  const std::string settings = " --data " + w.data.string() +
                               " --crop 32 --batch-size 2 --base-width 4 --depth 2 --validation 0.3 "
                               "--epochs 5 --validate-every 2 --out ";
  const fs::path run = w.root / "run";
  REQUIRE(shell("$nuclei train" + settings + run.string()).code == 0);
  std::istringstream csv(read_file(run / "metrics.csv"));
  std::string line;
  std::getline(csv, line);
  for (int epoch = 1; epoch <= 5; ++epoch) {
    REQUIRE(std::getline(csv, line));
    CHECK((line.find("nan") == std::string::npos) == (epoch == 2 || epoch == 4 || epoch == 5));
  }
  // What is kept is one of those that were scored.
  CHECK_THAT(shell("$nuclei info " + (run / "model.safetensors").string()).text,
             Catch::Matches("[^]*nuclei.epoch +[245]\n[^]*"));
}

TEST_CASE("nuclei: a training can begin with the weights of another model") {
  const Workplace w;
  const std::string any =
      "$nuclei train --data " + w.data.string() + " --crop 32 --batch-size 2 --validation 0.3 ";
  const std::string settings = any + "--init " + w.model().string();
  // At this rate nothing changes but the statistics of batch norm.
  const fs::path run = w.root / "run", second = w.root / "second";
  REQUIRE(shell(settings + " --epochs 1 --lr 1e-30 --out " + run.string()).code == 0);
  auto done = tensors_of(run / "model.safetensors");
  for (const auto& [name, values] : tensors_of(w.model())) {
    if (name.find("running") != std::string::npos || name.find("num_batches") != std::string::npos) continue;
    REQUIRE(done[name].size() == values.size());
    double difference = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      difference = std::max(difference, std::abs(values[i] - done[name][i]));
    CHECK(difference < 1e-6);
  }
  CHECK_THAT(shell("$nuclei info " + (run / "model.safetensors").string()).text,
             Contains("\"init\":\"model.safetensors\""));
  // The model that comes with the program has a name of its own.
  const std::string none = (w.root / "none").string(), out = " --out " + second.string();
  CHECK_THAT(shell("NUCLEI_MODEL=" + none + " " + any + "--init default" + out).text,
             Contains("NUCLEI_MODEL"));
  CHECK(shell(any + "--init " + none + out).code == 1);
  CHECK(shell(settings + " --base-width 8" + out).code == 2);
  CHECK(shell("$nuclei train --resume " + run.string() + " --init default").code == 2);
  CHECK_FALSE(fs::exists(second));
}

TEST_CASE("nuclei: a training that is interrupted and resumed ends with the same bits") {
  const Workplace w;
  const std::string settings =
      " --data " + w.data.string() +
      " --epochs 25 --crop 64 --batch-size 3 --base-width 6 --depth 3 --validation 0.3 ";
  auto start = [&](const std::string& how, const fs::path& run) {
    // There is something to resume from the first step on.
    const bool begun = fs::exists(run / "last.ckpt");
    return shell(how + " $nuclei train " +
                 (begun ? "--resume " + run.string() : settings + "--out " + run.string()));
  };
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(start("", w.root / "whole").code == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto expected = tensors_of(w.root / "whole/last.ckpt");
  for (const char* threads : {"1", "2"}) {
    const fs::path run = w.root / ("threads" + std::string(threads));
    CHECK(start("KARYON_NUM_THREADS=" + std::string(threads), run).code == 0);
    CHECK((tensors_of(run / "last.ckpt") == expected));
  }

  // Ctrl-C, which saves at once, and SIGKILL, which nobody can: at several moments of the run, then to the
  // end.
  for (const char* signal : {"INT", "KILL"}) {
    const fs::path run = w.root / signal;
    int unfinished = 0;
    for (int i = 0; i < 4; ++i) {
      const Result r =
          start("timeout -s " + std::string(signal) + " " + std::to_string(seconds * (0.25 + 0.1 * i)), run);
      if (r.code != 0) ++unfinished;  // timeout says 124 or 137 where it had to step in
    }
    CHECK(unfinished > 0);
    REQUIRE(start("", run).code == 0);
    CHECK((tensors_of(run / "last.ckpt") == expected));
    const std::string csv = read_file(run / "metrics.csv");
    CHECK(std::count(csv.begin(), csv.end(), '\n') == 26);
  }
  // The time limit stops cleanly too.
  const fs::path limited = w.root / "limited";
  const Result r = shell("$nuclei train --max-minutes 0.005" + settings + "--out " + limited.string());
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("--resume"));
  REQUIRE(start("", limited).code == 0);
  CHECK((tensors_of(limited / "last.ckpt") == expected));
}

TEST_CASE("nuclei: when the disk is full the old checkpoint survives") {
  const Workplace w;
  const fs::path run = w.root / "run";
  REQUIRE(shell("$nuclei train" + w.settings + "--out " + run.string()).code == 0);
  const std::string before = read_file(run / "last.ckpt");
  // Files may not grow beyond 20 KiB: what a full disk does, in the middle of a write.
  const Result r = shell("ulimit -f 20; $nuclei train --resume " + run.string() + " --epochs 5");
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("last.ckpt") || Contains("model.safetensors"));
  CHECK(read_file(run / "last.ckpt") == before);
  for (const auto& entry : fs::directory_iterator(run)) CHECK_THAT(entry.path().string(), !Contains(".tmp"));
  CHECK(shell("$nuclei train --resume " + run.string() + " --epochs 5").code == 0);
}

TEST_CASE("nuclei: doctor ends with 1 where there is an error, and says what to do") {
  const Workplace w;
  const std::string command = "$nuclei doctor --data " + w.data.string();
  Result r = shell(command);
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("10 images") && Contains("0 errors"));
  CHECK(shell(command + " > /dev/full").code == 1);
  fs::remove_all(w.data / "synthetic-00003/masks");
  r = shell(command + " --json " + (w.root / "findings.json").string());
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("images without masks") && Contains("synthetic-00003") && Contains("1 error,"));
  CHECK_THAT(read_file(w.root / "findings.json"), Contains("\"no-masks\"") && Contains("\"remedy\""));
  CHECK(shell(command + " --json /dev/full").code == 1);
  CHECK(shell("$nuclei doctor --data " + (w.root / "nowhere").string()).code == 1);
  fs::create_directories(w.root / "empty");
  CHECK(shell("$nuclei doctor --data " + (w.root / "empty").string()).code == 1);
}

TEST_CASE(
    "nuclei: a stopped training is no success, numbers are whole, places to write are looked at first") {
  Workplace w;
  const std::string training = "$nuclei train --data " + w.data.string() +
                               " --crop 32 --batch-size 2 --base-width 4 --depth 2 --validation 0 ";
  const std::string run = (w.root / "run").string(), whole = (w.root / "whole").string();
  CHECK(shell(signalled(training + "--epochs 99999 --out " + run, "INT", run + "/model.safetensors")).code ==
        130);
  CHECK(shell("timeout --preserve-status -s TERM 2 $nuclei train --resume " + run).code == 143);
  REQUIRE(shell(training + "--epochs 1 --out " + whole).code == 0);
  const Result info = shell("$nuclei info " + whole + "/model.safetensors");
  CHECK(info.code == 0);
  CHECK_THAT(info.text, !Contains("nuclei.validation"));  // there was none

  for (const char* page : {"2abc", "0", "-1", "1.5"}) {
    const Result r = shell(w.predict(w.a_picture().string() + " --page " + page));
    CHECK(r.code == 2);
    CHECK_THAT(r.text, Contains("--page: expected a number from 1, or all"));
  }
  for (const char* size : {"nan", "0", "-1", "inf"}) {
    const Result r = shell(w.predict(w.a_picture().string() + " --pixel-size " + size));
    CHECK(r.code == 2);
    CHECK_THAT(r.text, Contains("expected micrometres above 0"));
  }
  CHECK(shell(w.predict(w.a_picture().string() + " --continue --overwrite")).code == 2);
  shell("mkfifo " + (w.root / "pipe.png").string());
  CHECK_THAT(shell("timeout 20 " + w.predict((w.root / "pipe.png").string())).text,
             Contains("expected a file or a folder"));

  const std::string nowhere = (w.root / "none/x").string();
  for (const char* option : {" --json ", " --report "}) {
    const Result r = shell("$nuclei evaluate --model " + w.model().string() + " --data " + w.data.string() +
                           std::string(option) + nowhere);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains("create it first") && !Contains("evaluating"));
  }
  CHECK_THAT(shell("$nuclei doctor --data " + w.data.string() + " --json " + nowhere).text,
             Contains("create it first"));
}

TEST_CASE("nuclei: a training checkpoint is no model, and says where that is") {
  Workplace w;
  const std::string run = (w.root / "run").string(), data = w.data.string();
  REQUIRE(shell("$nuclei train --data " + data +
                " --crop 32 --batch-size 2 --base-width 4 --depth 2 --validation 0 --epochs 1 --out " + run)
              .code == 0);
  for (const std::string& command :
       {"predict --out " + (w.root / "out").string() + " " + w.a_picture().string() + " --model ",
        "evaluate --no-report --data " + data + " --model ", "shrink --out " + (w.root / "s").string() + " ",
        "train --data " + data + " --out " + (w.root / "more").string() + " --init "}) {
    const Result r = shell("$nuclei " + command + run + "/last.ckpt");
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains("this is a training checkpoint; the model is model.safetensors beside it"));
  }
}

TEST_CASE("nuclei: the model that comes with it has a name for every command") {
  Workplace w;
  const std::string model = "NUCLEI_MODEL=" + w.model().string() + " ",
                    out = " --out " + (w.root / "out").string();
  CHECK(shell(model + "$nuclei predict --model default " + w.a_picture().string() + out).code == 0);
  fs::remove_all(w.root / "out");
  CHECK(shell(model + "$nuclei evaluate --no-report --model default --data " + w.data.string()).code == 0);
  CHECK_THAT(
      shell("NUCLEI_MODEL=/nowhere $nuclei predict --model default " + w.a_picture().string() + out).text,
      Contains("NUCLEI_MODEL"));
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
  const std::string command = w.predict(in.string() + " " + (in / "u8.png").string());
  Result r = shell(command);
  CHECK(r.code == 1);
  CHECK_THAT(
      r.text,
      Contains("page 1 of 3; --page chooses another") && Contains("results are named u8-2") &&
          Contains("u8.png: given twice, taken once") &&
          Contains("passed over 4 files not PNG, JPEG, BMP or TIFF (2 .czi, 1 .lif, 1 without an ending)") &&
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

TEST_CASE("nuclei: words for users: no empty list, no digits of rounding, the remedy by its name") {
  Workplace w;
  fs::create_directories(w.root / "one");
  fs::copy(w.data / "synthetic-00000", w.root / "one/synthetic-00000", fs::copy_options::recursive);
  const Result one = shell("$nuclei evaluate --no-report --model " + w.model().string() + " --data " +
                           (w.root / "one").string());
  CHECK(one.code == 0);
  CHECK_THAT(one.text, !Contains("lowest Bowl scores"));
  CHECK_THAT(nuclei::to_text({.nucleus = 0.35f, .prominence = 0.1f, .min_area = 16}),
             Contains("\"nucleus\":0.35,") && Contains("\"prominence\":0.1}"));
  for (const float value : {0.35f, 0.1f, 1.0f / 3})
    CHECK(nuclei::thresholds_from(nuclei::to_text({.nucleus = value})).nucleus == value);
  fs::create_directories(w.root / "pictures");
  fs::copy_file(w.a_picture(), w.root / "pictures/a.png");
  const Result doctor = shell("$nuclei doctor --data " + (w.root / "pictures").string());
  CHECK(doctor.code == 1);
  CHECK_THAT(doctor.text, Contains("nuclei arrange"));
}

TEST_CASE("nuclei: arrange says what it took of several pages") {
  Workplace w;
  fs::create_directories(w.root / "images");
  fs::create_directories(w.root / "masks");
  write_pages(w.root / "images/a.tif", 4, {{1, 11, 1, 1}, {2, 22, 2, 2}});
  nuclei::write_png8(w.root / "masks/a.png", {4, 1, 1, {0, 1, 0, 1}});
  const auto arrange = [&](const std::string& more) {
    fs::remove_all(w.root / "set");
    return shell("$nuclei arrange --images " + (w.root / "images").string() + " --masks " +
                 (w.root / "masks").string() + " --out " + (w.root / "set").string() + more);
  };
  CHECK_THAT(arrange("").text, Contains("page 1 of 2; --page chooses another") && Contains("1 image with"));
  const Result second = arrange(" --page 2");
  CHECK(second.code == 0);
  CHECK_THAT(second.text, !Contains("--page"));
  CHECK(nuclei::read_image(w.root / "set/a/images/a.png")[1] == Approx(22 / 255.0));
  CHECK(arrange(" --page 0").code == 2);
  CHECK(arrange(" --channel 2").code == 1);
}

TEST_CASE("nuclei: a signal ends train and predict alike, also while they read") {
  Workplace w;
  std::string inputs;
  for (int i = 0; i < 40; ++i) {
    const fs::path copy = w.root / ("copy" + std::to_string(i) + ".png");
    if (i > 0) {
      fs::copy_file(w.root / "copy0.png", copy);
    } else {
      nuclei::write_png8(copy, nuclei::to_8_bits(nuclei::make_synthetic(1, 1400, 1400).image));
    }
    inputs += copy.string() + " ";
  }
  const std::string predict = w.predict(inputs);
  const fs::path out = w.root / "out";
  const Result r = shell(signalled(predict, "INT", out / "finished.jsonl"));
  CHECK(r.code == 130);
  CHECK_THAT(r.text, Contains("--continue goes on"));
  const Result more = shell(signalled(predict + " --continue", "TERM", out / "labels/copy3.png"));
  CHECK(more.code == 143);
  CHECK_THAT(more.text, Contains("--continue goes on"));

  const fs::path many = w.root / "many";
  nuclei::write_png8(w.root / "large.png", {1000, 1000, 1, std::vector<std::uint8_t>(1000 * 1000, 200)});
  for (int i = 0; i < 300; ++i) {
    const fs::path id = many / std::to_string(i);
    for (const char* folder : {"images", "masks"}) {
      fs::create_directories(id / folder);
      fs::create_hard_link(w.root / "large.png", id / folder / "a.png");
    }
  }
  const std::string run = (w.root / "run").string();
  CHECK(shell("timeout --preserve-status -s INT 0.5 $nuclei train --data " + many.string() + " --out " + run)
            .code == 130);
  CHECK_FALSE(fs::exists(run));
}

TEST_CASE("nuclei: a signal twice at once is one request to stop, half a second later it ends the process") {
  const nuclei::StopOnSignal stop;
  CHECK(nuclei::StopOnSignal::signal() == 0);
  std::raise(SIGTERM);
  std::raise(SIGTERM);
  CHECK(nuclei::StopOnSignal::signal() == SIGTERM);
  const pid_t child = fork();
  if (child == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    std::raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
}

TEST_CASE("nuclei: averaged over turned versions, a mirrored picture has mirrored maps") {
  karyon::UNet net({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2});
  net.eval();
  const nuclei::Image picture = nuclei::make_synthetic(1, 40, 32).image;
  nuclei::Image mirrored = picture;
  for (int y = 0; y < picture.height; ++y)
    std::copy_n(picture.row(picture.height - 1 - y), picture.row_size(), mirrored.row(y));
  const auto difference = [&](bool tta) {
    const nuclei::PixelMaps a = nuclei::predict_maps(net, picture, tta),
                            b = nuclei::predict_maps(net, mirrored, tta);
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
