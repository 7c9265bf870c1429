// Training as its users meet it: exit codes, files, interruption.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <map>
#include <sstream>

#include <karyon/karyon.h>

#include "program.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using nuclei::test::files_in;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::signalled;
using nuclei::test::Workplace;

namespace {

std::map<std::string, std::vector<double>> tensors_of(const fs::path& checkpoint) {
  std::map<std::string, std::vector<double>> out;
  for (const auto& [name, tensor] : karyon::load_safetensors(checkpoint).tensors)
    out[name] = tensor.to_vector<double>();
  return out;
}

}  // namespace

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
  CHECK(files_in(w.root / "found") == 23);
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

TEST_CASE("nuclei: a training that has a time ends in it, and fits its thresholds") {
  const Workplace w;
  const fs::path run = w.root / "run";
  const std::string command = "$nuclei train" + w.small + "--validation 0.3 --out ";
  Result r = shell(command + run.string() + " --max-minutes 0.03");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("thresholds {") && !Contains("stopped after"));
  CHECK_THAT(shell("$nuclei train --resume " + run.string()).text, Contains("epochs are done"));

  // After a break it has the time that was left, or that it is given.
  const fs::path broken = w.root / "broken";
  CHECK(shell(signalled(command + broken.string() + " --max-minutes 1", "INT", broken / "model.safetensors"))
            .code == 130);
  r = shell("$nuclei train --max-minutes 0.02 --resume " + broken.string());
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("thresholds {"));
}

TEST_CASE("nuclei: folds are trained in turn, and again where one was stopped") {
  const Workplace w;
  const fs::path out = w.root / "folds";
  const std::string command = "$nuclei train" + w.settings + "--folds 3 --out " + out.string();
  const std::string stopped = "stopped in fold 1 of 3; the same command ";
  CHECK_THAT(shell(command + " --max-minutes 0.00001").text, Contains(stopped + "goes on"));
  CHECK_THAT(shell(command + " --max-minutes 0.00001 --overwrite").text,
             Contains(stopped + "without --overwrite goes on"));
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

TEST_CASE("nuclei: a training learns from several sets, and holds out whole ones") {
  const Workplace w;
  const auto copy = [&](const char* name) {
    fs::copy(w.data, w.root / name, fs::copy_options::recursive);
    return (w.root / name).string();
  };
  const std::string more = copy("more"), other = copy("other"), run = (w.root / "run").string();
  const std::string command = "$nuclei train" + w.small + "--epochs 1 --data " + more + ":2 ";
  const Result r = shell(command + "--diameter 20 --validate-on " + other + " --out " + run);
  REQUIRE(r.code == 0);
  CHECK_THAT(r.text, Contains("20 to train on, 10 in held-out sets") && Contains(more + ": "));
  const std::string split = read_file(w.root / "run/split.csv");
  CHECK_THAT(split, Contains("\nmore/synthetic-00001,") && Contains("data/synthetic-00001,"));
  CHECK_THAT(split, Contains("\nother/synthetic-00001,") && Contains(",validation\n"));
  CHECK_THAT(read_file(w.root / "run/report.html"), Contains("held-out images of " + other));
  const std::string info = shell("$nuclei info " + run + "/model.safetensors").text;
  CHECK_THAT(info, Contains("\"diameter\":20") && !Contains(w.root.string() + "/more") &&
                       Contains("nuclei.diameter"));
  // A run that is resumed finds its sets.
  CHECK(shell("$nuclei train --epochs 2 --resume " + run).code == 0);
  CHECK(shell("$nuclei train --validate-on " + more + " --epochs 3 --resume " + run).code == 2);
  CHECK(shell(command + "--validate-on " + other + " --validation 0.2 --out " + run + "2").code == 2);
  CHECK(shell(command + "--validate-on " + other + " --folds 2 --out " + run + "2").code == 2);
  CHECK(shell("$nuclei train" + w.small + "--data " + more + ":0 --out " + run + "2").code == 2);
  CHECK_THAT(shell(command + "--validate-on " + other + "s --out " + run + "2").text, Contains(other + "s"));
}

TEST_CASE("nuclei: training on all images keeps the last epoch, with patience the best") {
  const Workplace w;
  const std::string run = (w.root / "run").string();
  REQUIRE(shell("$nuclei train" + w.small + "--epochs 2 --validation 0 --out " + run).code == 0);
  const std::string info = shell("$nuclei info " + run + "/model.safetensors").text;
  CHECK_THAT(info, Catch::Matches("[^]*nuclei.epoch +2\n[^]*"));
  // At this rate nothing changes, and no epoch is better than the first.
  const Result r = shell("$nuclei train" + w.small + "--lr 1e-30 --epochs 9 --patience 2 --out " + run + "2");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("this is enough") && !Contains("epoch 6/9"));
}

TEST_CASE("nuclei: held-out images are scored only after the epochs that are asked for, and the last") {
  const Workplace w;
  const std::string settings = w.small + "--validation 0.3 --epochs 5 --validate-every 2 --out ";
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
  // At this rate nothing changes, and the statistics of batch norm are kept.
  const fs::path run = w.root / "run", second = w.root / "second";
  REQUIRE(shell(settings + " --epochs 1 --lr 1e-30 --out " + run.string()).code == 0);
  auto done = tensors_of(run / "model.safetensors");
  for (const auto& [name, values] : tensors_of(w.model())) {
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

TEST_CASE("nuclei: a training that diverges says so, and a limit takes images from the whole set") {
  const Workplace w;
  const std::string run = (w.root / "run").string();
  Result r = shell("$nuclei train" + w.settings + "--lr 1e30 --out " + run);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("training: the ") && Contains(" in epoch ") &&
                         Contains("try a smaller --lr (now 1e+30)"));

  r = shell("$nuclei train" + w.small + "--validation 0 --epochs 1 --limit 3 --out " + run + "/limited");
  CHECK(r.code == 0);
  std::string split = read_file(run + "/limited/split.csv");
  CHECK(std::count(split.begin(), split.end(), '\n') == 4);
  for (const char* id : {"synthetic-00000", "synthetic-00003", "synthetic-00006"})
    CHECK_THAT(split, Contains(id));
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

TEST_CASE(
    "nuclei: a stopped training is no success, numbers are whole, places to write are looked at first") {
  Workplace w;
  const std::string training = "$nuclei train" + w.small + "--validation 0 ";
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
  REQUIRE(shell("$nuclei train" + w.small + "--validation 0 --epochs 1 --out " + run).code == 0);
  for (const std::string& command :
       {"predict --out " + (w.root / "out").string() + " " + w.a_picture().string() + " --model ",
        "evaluate --no-report --data " + data + " --model ", "shrink --out " + (w.root / "s").string() + " ",
        "train --data " + data + " --out " + (w.root / "more").string() + " --init "}) {
    const Result r = shell("$nuclei " + command + run + "/last.ckpt");
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains("this is a training checkpoint; the model is model.safetensors beside it"));
  }
}
