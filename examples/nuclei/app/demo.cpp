#include <cstdio>
#include <filesystem>

#include "app/command.h"
#include "app/evaluate.h"
#include "app/predict.h"
#include "common/error.h"
#include "common/stop.h"
#include "common/text.h"
#include "dataset/synthetic.h"
#include "inference/segmenter.h"
#include "training/training.h"

namespace nuclei {
namespace {

struct Demo : Command {
  std::filesystem::path out = "nuclei-demo";
  std::uint64_t seed = 1;
  std::string device = "auto";

  Demo() : Command("demo", "the whole way on generated images, in a few minutes") {}

  void add_options(CLI::App& app) override {
    app.add_option("--out", out, "folder to write to")->capture_default_str();
    app.add_option("--seed", seed, "of the images and of training")->capture_default_str();
    app.footer("Example:\n  nuclei demo --out my_demo");
    add_threads_and_device(app, device);
  }

  int run() override {
    select_device(device);  // before anything is written
    if (std::filesystem::exists(out) && !std::filesystem::is_empty(out))
      throw Failure(out.string() + " is not empty; choose another --out, or remove it");
    std::fprintf(stderr, "1. drawing 40 images to learn from and 8 to be tested on\n");
    generate("training-images", 1000 * seed, 40);
    generate("new-images", 1000 * seed + 500, 8);
    std::fprintf(stderr, "2. training a small U-Net\n");
    learn();
    std::fprintf(stderr, "3. finding the nuclei in the new images\n");
    const PredictSummary found = find_and_score();
    std::printf("\nfound %zu nuclei in %zu images. Open these:\n", static_cast<std::size_t>(found.nuclei),
                found.images);
    for (const auto& [file, what] : {std::pair("found/overlays", "outlines on the images"),
                                     {"found/nuclei.csv", "a row per nucleus"},
                                     {"found/report.html", "how well, with pictures"},
                                     {"run/report.html", "how training went"}})
      std::printf("  %s   %s\n", printable((out / file).string()).c_str(), what);
    return 0;
  }

 private:
  std::filesystem::path model() const { return out / "run" / "model.safetensors"; }

  void generate(const char* folder, std::uint64_t first, int count) const {
    std::vector<Example> examples;
    for (int i = 0; i < count; ++i)
      examples.push_back(make_synthetic(first + static_cast<std::uint64_t>(i), 256, 256));
    write_bowl(out / folder, examples);
  }

  void learn() const {
    const bool done = train({.data = {{out / "training-images"}},
                             .out = out / "run",
                             .resume = {},
                             .epochs = 64,
                             .max_minutes = {},
                             .crop = 192,
                             .batch_size = 4,
                             .base_width = 12,
                             .depth = 3,
                             .lr = 4e-3,
                             .validation = 0.2,
                             .seed = seed,
                             .device = device});
    if (!done) throw Stopped("the demo was stopped");
  }

  PredictSummary find_and_score() const {
    const PredictSummary found = predict({.model = model(),
                                          .inputs = {out / "new-images"},
                                          .out = out / "found",
                                          .device = device,
                                          .overwrite = true});
    if (found.interrupted) throw Stopped("the demo was stopped");
    evaluate({.model = model(),
              .data = out / "new-images",
              .json = out / "found" / "scores.json",
              .report = {},
              .device = device});
    return found;
  }
};

}  // namespace

std::unique_ptr<Command> demo_command() { return std::make_unique<Demo>(); }

}  // namespace nuclei
