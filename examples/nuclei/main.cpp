// nuclei: finds cell nuclei in microscopy images, and learns to. See README.md.
#include <csignal>
#include <cstdio>
#include <iostream>

#include <karyon/karyon.h>
#include <CLI/CLI.hpp>

#include "demo.h"
#include "doctor.h"
#include "error.h"
#include "evaluate.h"
#include "info.h"
#include "predict.h"
#include "train.h"

namespace {

constexpr int bad_usage = 2, failed = 1;

int run(int argc, char** argv) {
  CLI::App app{"nuclei finds cell nuclei in microscopy images, and learns to from examples."};
  app.require_subcommand(1);
  app.set_version_flag("--version", "nuclei 0.1.0");
  app.footer(
      "Examples:\n"
      "  nuclei demo                                              see it work, without any data\n"
      "  nuclei doctor --data stage1_train                        say what is wrong with a data set\n"
      "  nuclei train --data stage1_train --out run               learn from the Data Science Bowl 2018\n"
      "  nuclei predict --model run/model.safetensors --out found image.png folder\n"
      "  nuclei evaluate --model run/model.safetensors --data stage1_test\n"
      "Exit codes: 0 done, 1 something failed, 2 the command line makes no sense.");

  int threads = 0;
  std::string device = "auto";
  auto common = [&](CLI::App* command) {
    command
        ->add_option("--threads", threads,
                     "threads to compute with (default: KARYON_NUM_THREADS, or all processors); training "
                     "with 2 or more has one more that cuts crops ahead")
        ->check(CLI::Range(1, 1024));
    command->add_option("--device", device, "auto, cpu or cuda")->capture_default_str();
  };

  nuclei::TrainOptions t;
  std::string resume;
  CLI::App* train = app.add_subcommand("train", "train a U-Net on images with masks");
  train->add_option("--data", t.data,
                    "folder in the Data Science Bowl layout: <id>/images/*.png, <id>/masks/*.png");
  train->add_option("--out", t.out,
                    "folder for the run: model.safetensors, last.ckpt, metrics.csv, report.html");
  train->add_option(
      "--resume", resume,
      "go on with the run in this folder, with its settings; the result is the same as without the break");
  train->add_option("--epochs", t.epochs,
                    "passes over the images (default: 40, or what fits in --max-minutes)");
  train->add_option("--max-minutes", t.max_minutes, "stop cleanly after this time");
  train->add_option("--crop", t.crop, "side of the training crops, pixels")->capture_default_str();
  train->add_option("--batch-size", t.batch_size, "crops per step")->capture_default_str();
  train
      ->add_option("--base-width", t.base_width,
                   "channels of the first level; more is slower and learns more")
      ->capture_default_str();
  train->add_option("--depth", t.depth, "how often the size is halved")->capture_default_str();
  train->add_option("--lr", t.lr, "peak learning rate of AdamW")->capture_default_str();
  train
      ->add_option("--validation", t.validation,
                   "share of the images held out, in whole groups of similar ones; 0 trains on all")
      ->capture_default_str();
  train->add_option(
      "--folds", t.folds,
      "cut the images into so many folds of whole groups, hold each out in turn, and report mean and "
      "spread (0: one split, by --validation)");
  train->add_option("--fold", t.fold, "with --folds: hold out this one only, 1 ...");
  train->add_option("--patience", t.patience, "stop after so many epochs without a better score (0: never)")
      ->capture_default_str();
  train->add_option("--seed", t.seed, "of weights, order, crops and split")->capture_default_str();
  train->add_option("--limit", t.limit, "use only so many images, spread over the set (0: all)")
      ->capture_default_str();
  train->footer(
      "Example:\n  nuclei train --data stage1_train --out run --max-minutes 60\n  nuclei train --resume run\n"
      "  nuclei train --data stage1_train --out folds --folds 5");
  common(train);

  std::filesystem::path model, out, file;
  nuclei::EvaluateOptions scoring;
  std::vector<std::filesystem::path> inputs;
  CLI::App* evaluate = app.add_subcommand("evaluate", "score a model against true masks");
  evaluate->add_option("--model", scoring.model, "model.safetensors of a run")->required();
  evaluate->add_option("--data", scoring.data, "folder in the Data Science Bowl layout")->required();
  evaluate->add_option("--json", scoring.json, "write every score here too");
  evaluate->add_option("--report", scoring.report,
                       "where the HTML report goes (default: report.html beside --json or in this folder; "
                       "evaluation.html in the model's folder)");
  evaluate->add_flag("!--no-report", scoring.write_report, "write no report");
  evaluate->footer(
      "Example:\n  nuclei evaluate --model run/model.safetensors --data stage1_test --json scores.json");
  common(evaluate);

  nuclei::DoctorOptions examination;
  CLI::App* doctor = app.add_subcommand("doctor", "say what is wrong with a data set, before training on it");
  doctor->add_option("--data", examination.data, "folder in the Data Science Bowl layout")->required();
  doctor->add_option("--json", examination.json, "write every finding here too");
  doctor->add_flag("--all", examination.all, "list every file, not the first few of each kind");
  doctor->footer(
      "Example:\n  nuclei doctor --data my_images\nEnds with 1 if there is an error among the findings.");
  common(doctor);

  CLI::App* predict = app.add_subcommand("predict", "find the nuclei in images");
  predict->add_option("--model", model, "model.safetensors of a run")->required();
  predict->add_option("--out", out, "folder for labels/, overlays/ and nuclei.csv")->required();
  predict
      ->add_option("input", inputs,
                   "images (PNG, JPEG, BMP), folders of images, or the Data Science Bowl layout")
      ->required();
  predict->footer("Example:\n  nuclei predict --model run/model.safetensors --out found plate1/ extra.png");
  common(predict);

  bool devices = false;
  CLI::App* info = app.add_subcommand("info", "show what a model file holds, or the devices");
  info->add_option("file", file, "model.safetensors or last.ckpt");
  info->add_flag("--devices", devices, "list the devices to compute on, and say why CUDA is not used");
  common(info);

  std::uint64_t demo_seed = 1;
  std::filesystem::path demo_out = "nuclei-demo";
  CLI::App* demo = app.add_subcommand("demo", "the whole way on generated images, in a few minutes");
  demo->add_option("--out", demo_out, "folder to write to")->capture_default_str();
  demo->add_option("--seed", demo_seed, "of the images and of training")->capture_default_str();
  common(demo);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e, std::cout, std::cerr);
    return code == 0 ? 0 : bad_usage;
  }

  bool sound = true;
  try {
    if (threads > 0) karyon::set_num_threads(threads);
    try {
      karyon::num_threads();
    } catch (const karyon::Error& e) {
      throw nuclei::UsageError(e.what());
    }
    if (*train) {
      if (!resume.empty()) {
        t.resume = resume;
        for (const char* option : {"--crop", "--batch-size", "--base-width", "--depth", "--lr",
                                   "--validation", "--folds", "--fold", "--patience", "--seed", "--limit"})
          if (train->count(option) > 0)
            throw nuclei::UsageError(
                std::string(option) +
                " cannot change in a run that is resumed; leave it out, or start a new run");
      }
      t.device = device;
      nuclei::train(t);
    } else if (*evaluate) {
      scoring.device = device;
      nuclei::evaluate(scoring);
    } else if (*doctor) {
      sound = nuclei::doctor(examination);
    } else if (*predict) {
      const nuclei::PredictSummary done = nuclei::predict(model, inputs, out, device);
      std::printf("%zu nuclei in %zu images; see %s\n", done.nuclei, done.images,
                  (out / "overlays").string().c_str());
      if (done.failed > 0) {
        std::fprintf(stderr, "nuclei: %zu of %zu images could not be read\n", done.failed,
                     done.images + done.failed);
        return failed;
      }
    } else if (*info) {
      if (!devices && file.empty()) throw nuclei::UsageError("info: expects a model file, or --devices");
      if (devices) nuclei::list_devices();
      if (!file.empty()) nuclei::info(file);
    } else if (*demo) {
      nuclei::demo(demo_out, demo_seed, device);
    }
    if (std::fflush(stdout) != 0 || !std::cout.flush())
      throw nuclei::Failure("standard output cannot be written: is the disk full?");
    return sound ? 0 : failed;
  } catch (const nuclei::UsageError& e) {
    std::fprintf(stderr, "nuclei: %s\n", e.what());
    return bad_usage;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nuclei: %s\n", e.what());
    return failed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A file that may not grow further is an error to report, not a reason to die half-way.
  std::signal(SIGXFSZ, SIG_IGN);
  return run(argc, argv);
}
