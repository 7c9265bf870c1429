// nuclei: finds cell nuclei in microscopy images, and learns to. See README.md.
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <karyon/karyon.h>
#include <CLI/CLI.hpp>

#include "app/arrange.h"
#include "app/demo.h"
#include "app/doctor.h"
#include "app/evaluate.h"
#include "app/info.h"
#include "app/predict.h"
#include "app/shrink.h"
#include "common/error.h"
#include "common/stop.h"
#include "common/text.h"
#include "imageio/source.h"
#include "inference/segmenter.h"
#include "training/training.h"

namespace {

constexpr int bad_usage = 2, failed = 1;

int run(int argc, char** argv) {
  CLI::App app{"nuclei finds cell nuclei in microscopy images, and learns to from examples."};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("nuclei ") + karyon::version());
  app.footer(
      "Examples:\n"
      "  nuclei demo                                              see it work, without any data\n"
      "  nuclei doctor --data stage1_train                        say what is wrong with a data set\n"
      "  nuclei train --data stage1_train --out run               learn from the Data Science Bowl 2018\n"
      "  nuclei predict image.tif folder                          find nuclei, in nuclei-out/\n"
      "  nuclei evaluate --model run/model.safetensors --data stage1_test\n"
      "Exit codes: 0 done, 1 something failed, 2 the command line makes no sense, 128 + its number where a\n"
      "signal (Ctrl-C: 130) stopped it.");

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

  const auto precision = [](CLI::App* command, std::string& value, const std::string& what) {
    command
        ->add_option("--precision", value,
                     "f32, or bf16: products are faster where the processor or GPU has them, " + what)
        ->check(CLI::IsMember({"f32", "bf16"}))
        ->capture_default_str();
  };
  const char* rounded = "and outlines differ by a pixel here and there";

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
  train->add_option("--init", t.init,
                    "begin with the weights of this model, to fit it to images of your own in few epochs; "
                    "default: the one that comes with nuclei");
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
  train
      ->add_option("--validate-every", t.validate_every,
                   "score the held-out images, and so choose the model, after so many epochs each")
      ->capture_default_str();
  train->add_option("--seed", t.seed, "of weights, order, crops and split")->capture_default_str();
  train->add_option("--limit", t.limit, "use only so many images, spread over the set (0: all)")
      ->capture_default_str();
  precision(train, t.precision, "activations take half the memory, weights stay f32");
  train->footer(
      "Example:\n  nuclei train --data stage1_train --out run --max-minutes 60\n  nuclei train --resume run\n"
      "  nuclei train --data stage1_train --out folds --folds 5\n"
      "  nuclei train --data my_images --out mine --init default --epochs 10 --lr 0.0005");
  common(train);

  std::filesystem::path file;
  nuclei::EvaluateOptions scoring;
  CLI::App* evaluate = app.add_subcommand("evaluate", "score a model against true masks");
  evaluate->add_option("--model", scoring.model,
                       "model.safetensors of a run, or default: the one that comes with nuclei");
  evaluate->add_option("--data", scoring.data, "folder in the Data Science Bowl layout")->required();
  const char* tta = "average over eight turned and mirrored versions: a little better, eight times as slow";
  evaluate->add_flag("--tta", scoring.tta, tta);
  const auto zoom = [](CLI::App* command, int& value) {
    command
        ->add_option_function<std::string>(
            "--zoom",
            [&value](const std::string& text) { value = text == "auto" ? nuclei::auto_zoom : text[0] - '0'; },
            "how many times larger the network sees an image: 1, 2, or auto, which is 2 for small nuclei "
            "(median "
            "below " +
                std::to_string(static_cast<int>(nuclei::small_diameter)) + " pixels) on a dark background")
        ->check(CLI::IsMember({"auto", "1", "2"}))
        ->default_str("auto");
  };
  zoom(evaluate, scoring.zoom);
  precision(evaluate, scoring.precision, rounded);
  evaluate->add_option("--json", scoring.json, "write every score here too");
  evaluate->add_option("--report", scoring.report,
                       "where the HTML report goes (default: report.html beside --json or in this folder; "
                       "evaluation.html in the model's folder)");
  evaluate->add_flag("!--no-report", scoring.write_report, "write no report");
  evaluate->footer(
      "Example:\n  nuclei evaluate --model run/model.safetensors --data stage1_test --json scores.json");
  common(evaluate);

  std::filesystem::path images, masks, arranged;
  nuclei::ReadOptions choice;
  CLI::App* arrange = app.add_subcommand(
      "arrange", "bring your own folder of images and folder of masks into the layout to train on");
  arrange->add_option("--images", images, "folder of images")->required();
  arrange
      ->add_option("--masks", masks,
                   "folder of one mask file per image, of the same name: label images (a value or colour per "
                   "nucleus), or black and white")
      ->required();
  arrange->add_option("--out", arranged, "folder to write to")->required();
  const char* which = "Which picture of a file";
  arrange->add_option("--channel", choice.channel, "channel with the nuclei, by number (from 1) or name")
      ->group(which);
  arrange
      ->add_option("--page", choice.page, "page of a TIFF image (slice, time point), from 1; masks have one")
      ->check(CLI::Range(1, 1'000'000'000))
      ->group(which);
  arrange->footer("Example:\n  nuclei arrange --images pictures --masks drawn --out my_images");

  nuclei::DoctorOptions examination;
  CLI::App* doctor = app.add_subcommand("doctor", "say what is wrong with a data set, before training on it");
  doctor->add_option("--data", examination.data, "folder in the Data Science Bowl layout")->required();
  doctor->add_option("--json", examination.json, "write every finding here too");
  doctor->add_flag("--all", examination.all, "list every file, not the first few of each kind");
  doctor->footer(
      "Example:\n  nuclei doctor --data my_images\nEnds with 1 if there is an error among the findings.");
  common(doctor);

  nuclei::PredictOptions p;
  std::string max_memory = "2GB", page, labels = "png";
  CLI::App* predict = app.add_subcommand("predict", "find the nuclei in images");
  predict
      ->add_option("input", p.inputs,
                   "images (TIFF, PNG, JPEG, BMP), folders of images, or the Data Science Bowl layout")
      ->required();
  predict->add_option("--model", p.model,
                      "model.safetensors of a run, or default: the one that comes with nuclei");
  predict->add_option("--out", p.out, "folder for the results")->capture_default_str();
  predict->add_flag("--recursive", p.recursive, "search folders inside folders too");
  predict->add_flag("--continue", p.resume, "skip the images that an interrupted run has finished");
  predict->add_flag("--overwrite", p.overwrite, "replace the results of an earlier run in the folder");
  predict
      ->add_option("--max-memory", max_memory, "larger images are worked on in parts; the result is the same")
      ->capture_default_str();
  predict->add_flag("--tta", p.tta, tta);
  zoom(predict, p.zoom);
  precision(predict, p.precision, rounded);
  predict->add_option("--channel", p.channel, "channel with the nuclei, by number (from 1) or name")
      ->group(which);
  predict
      ->add_option("--page", page,
                   "page of a TIFF (slice, time point), from 1, or all (default: the first, with a note)")
      ->group(which);
  predict->add_option("--pixel-size", p.pixel_size, "micrometres per pixel, where the file does not say")
      ->check([](const std::string& text) {
        const double size = std::strtod(text.c_str(), nullptr);
        return size > 0 && std::isfinite(size) ? "" : "expected micrometres above 0, got " + text;
      })
      ->group(which);
  const char* results = "What comes out";
  predict->add_option("--labels", labels, "label images: png, tiff or none")
      ->check(CLI::IsMember({"png", "tiff", "none"}))
      ->capture_default_str()
      ->group(results);
  auto flag = [&](const std::string& names, bool& value, const char* text) {
    predict->add_flag(names, value, text)->group(results);
  };
  flag("--overlays,!--no-overlays", p.results.overlays, "outlines on the images (default)");
  flag("--table,!--no-table", p.results.table, "nuclei.csv: position, shape, intensity (default)");
  flag("--rois", p.results.rois, "outlines for Fiji and ImageJ: rois/NAME.zip");
  flag("--geojson", p.results.geojson, "outlines for QuPath: geojson/NAME.geojson");
  flag("--coco", p.results.coco, "coco.json, and one file per image in coco/");
  flag("--bowl", p.results.bowl, "bowl.csv: run lengths as the Data Science Bowl 2018 wants them");
  flag("--probabilities", p.results.probabilities, "what the network says of each pixel, as float TIFF");
  predict->footer(
      "Examples:\n  nuclei predict image.tif\n"
      "  nuclei predict --channel DAPI --rois --geojson --out found plate1/ extra.ome.tif");
  common(predict);

  bool devices = false;
  CLI::App* info = app.add_subcommand("info", "show what a model file holds, or the devices");
  info->add_option("file", file, "model.safetensors or last.ckpt");
  info->add_flag("--devices", devices, "list the devices to compute on, and say why CUDA is not used");
  common(info);

  std::filesystem::path large, small;
  CLI::App* shrink = app.add_subcommand("shrink", "write a copy of a model at half the size, to pass on");
  shrink->add_option("file", large, "model.safetensors of a run")->required();
  shrink->add_option("--out", small, "file to write")->required();
  shrink->footer("Example:\n  nuclei shrink run/model.safetensors --out nuclei.safetensors");

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

  bool sound = true, stopped = false;
  try {
    if (threads > 0) karyon::set_num_threads(threads);
    try {
      karyon::num_threads();
    } catch (const karyon::Error& e) {
      throw nuclei::UsageError(e.what());
    }
    if (*train) {
      if (t.init && train->count("--base-width") + train->count("--depth") > 0)
        throw nuclei::UsageError("--init brings a network; leave --base-width and --depth out");
      if (!resume.empty()) {
        t.resume = resume;
        for (const char* option :
             {"--init", "--crop", "--batch-size", "--base-width", "--depth", "--lr", "--validation",
              "--folds", "--fold", "--patience", "--validate-every", "--seed", "--limit", "--precision"})
          if (train->count(option) > 0)
            throw nuclei::UsageError(
                std::string(option) +
                " cannot change in a run that is resumed; leave it out, or start a new run");
      }
      t.device = device;
      // A script must not go on with a model that was stopped half-way; --max-minutes is a wish.
      stopped = !nuclei::train(t);
    } else if (*evaluate) {
      scoring.device = device;
      scoring.model = nuclei::model_file(scoring.model);
      nuclei::evaluate(scoring);
    } else if (*arrange) {
      const nuclei::Arranged done = nuclei::arrange(images, masks, arranged, choice);
      std::printf("%s with %zu nuclei in %s\n", nuclei::counted(done.images, "image").c_str(), done.nuclei,
                  arranged.string().c_str());
    } else if (*doctor) {
      sound = nuclei::doctor(examination);
    } else if (*predict) {
      p.device = device;
      p.max_memory = nuclei::parse_size(max_memory);
      if (predict->count("--page") > 0) {
        int number = 0;
        const auto [end, error] = std::from_chars(page.data(), page.data() + page.size(), number);
        if (page != "all" && (error != std::errc() || end != page.data() + page.size() || number < 1))
          throw nuclei::UsageError("--page: expected a number from 1, or all, got '" + page + "'");
        p.page = number;
      }
      p.results.labels = labels == "png"    ? nuclei::LabelFormat::png
                         : labels == "tiff" ? nuclei::LabelFormat::tiff
                                            : nuclei::LabelFormat::none;
      const nuclei::PredictSummary done = nuclei::predict(p);
      if (done.images > 0)
        std::printf("%lld nuclei in %s; see %s\n", static_cast<long long>(done.nuclei),
                    nuclei::counted(done.images, "image").c_str(), p.out.string().c_str());
      if (done.enlarged > 0 && p.zoom == nuclei::auto_zoom)
        std::printf("%s: small nuclei, so the network saw them twice as large (--zoom)\n",
                    nuclei::counted(done.enlarged, "image").c_str());
      if (done.skipped > 0)
        std::printf("%s finished before%s\n", nuclei::counted(done.skipped, "image").c_str(),
                    done.images > 0 ? "" : ("; see " + p.out.string()).c_str());
      stopped = done.interrupted;
      if (stopped) std::fprintf(stderr, "nuclei: stopped; the same command with --continue goes on\n");
      if (done.failed > 0) {
        std::fprintf(stderr, "nuclei: %zu of %zu images failed\n", done.failed, done.images + done.failed);
        sound = false;
      }
    } else if (*info) {
      if (!devices && file.empty()) throw nuclei::UsageError("info: expects a model file, or --devices");
      if (devices) nuclei::list_devices();
      if (!file.empty()) nuclei::info(file);
    } else if (*shrink) {
      nuclei::shrink(large, small);
    } else if (*demo) {
      nuclei::demo(demo_out, demo_seed, device);
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout.flush())
      throw nuclei::Failure("standard output cannot be written: is the disk full?");
    if (stopped && nuclei::StopOnSignal::signal()) return 128 + nuclei::StopOnSignal::signal();
    return sound ? 0 : failed;
  } catch (const nuclei::UsageError& e) {
    std::fprintf(stderr, "nuclei: %s\n", e.what());
    return bad_usage;
  } catch (const nuclei::Stopped& e) {
    std::fprintf(stderr, "nuclei: %s\n", e.what());
    return 128 + nuclei::StopOnSignal::signal();
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
