#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "app/command.h"
#include "app/predict.h"
#include "common/error.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "common/text.h"

namespace nuclei {

std::size_t parse_size(const std::string& text) {
  static const std::map<std::string, double> units{{"", 1},
                                                   {"b", 1},
                                                   {"kb", 1e3},
                                                   {"mb", 1e6},
                                                   {"gb", 1e9},
                                                   {"k", 1e3},
                                                   {"m", 1e6},
                                                   {"g", 1e9},
                                                   {"kib", 1024.0},
                                                   {"mib", 1024.0 * 1024},
                                                   {"gib", 1024.0 * 1024 * 1024}};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit = lower(std::string(end, text.data() + text.size()));
  std::erase(unit, ' ');
  constexpr double largest = 1e15;
  if (error != std::errc() || !units.contains(unit) || !(value > 0) || value * units.at(unit) > largest)
    throw UsageError("--max-memory: expected a size like 2GB or 500MB, got '" + text + "'");
  return static_cast<std::size_t>(value * units.at(unit));
}

namespace {

std::string wrong_pixel_size(const std::string& text) {
  const double size = std::strtod(text.c_str(), nullptr);
  return size > 0 && std::isfinite(size) ? "" : "expected micrometres above 0, got " + text;
}

/// --page: a number from 1, or all, which is 0.
int parse_page(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text != "all" && (error != std::errc() || end != text.data() + text.size() || number < 1))
    throw UsageError("--page: expected a number from 1, or all, got '" + text + "'");
  return number;
}

struct Predict : Command {
  PredictOptions options;
  std::string max_memory = "2GB", labels = "png";
  std::optional<std::string> page;

  Predict() : Command("predict", "find the nuclei in images") {}

  void add_options(CLI::App& app) override {
    app.add_option("input", options.inputs,
                   "images (TIFF, PNG, JPEG, BMP), folders of images, or the Data Science Bowl layout")
        ->required();
    app.add_option("--model", options.model,
                   "model.safetensors of a run, or default: the one that comes with nuclei");
    app.add_option("--out", options.out, "folder for the results")->capture_default_str();
    app.add_flag("--recursive", options.recursive, "search folders inside folders too");
    app.add_flag("--continue", options.resume, "skip the images that an interrupted run has finished");
    app.add_flag("--overwrite", options.overwrite, "replace the results of an earlier run in the folder");
    app.add_option("--max-memory", max_memory, "larger images are worked on in parts; the result is the same")
        ->capture_default_str();
    add_tta(app, options.tta);
    add_zoom(app, options.zoom);
    add_precision(app, options.precision, bf16_outlines);
    add_channel(app, options.channel);
    app.add_option("--page", page,
                   "page of a TIFF (slice, time point), from 1, or all (default: the first, with a note)")
        ->group(choice_group);
    app.add_option("--pixel-size", options.pixel_size, "micrometres per pixel, where the file does not say")
        ->check(wrong_pixel_size)
        ->group(choice_group);
    add_results(app);
    app.footer(
        "Examples:\n  nuclei predict image.tif\n"
        "  nuclei predict --channel DAPI --rois --geojson --out found plate1/ extra.ome.tif");
    add_threads_and_device(app, options.device);
  }

  bool shares_work() const override { return true; }

  int run() override {
    options.max_memory = parse_size(max_memory);
    if (page) options.page = parse_page(*page);
    options.results.labels = labels == "png"    ? LabelFormat::png
                             : labels == "tiff" ? LabelFormat::tiff
                                                : LabelFormat::none;
    const PredictSummary done = predict(options);
    return Ranks::is_first() ? print(done) : 0;
  }

 private:
  void add_results(CLI::App& app) {
    const char* group = "What comes out";
    app.add_option("--labels", labels, "label images: png, tiff or none")
        ->check(choice({"png", "tiff", "none"}))
        ->capture_default_str()
        ->group(group);
    const auto flag = [&](const std::string& names, bool& value, const char* text) {
      app.add_flag(names, value, text)->group(group);
    };
    ResultOptions& results = options.results;
    flag("--overlays,!--no-overlays", results.overlays, "outlines on the images (default)");
    flag("--table,!--no-table", results.table, "nuclei.csv: position, shape, intensity (default)");
    flag("--rois", results.rois, "outlines for Fiji and ImageJ: rois/NAME.zip");
    flag("--geojson", results.geojson, "outlines for QuPath: geojson/NAME.geojson");
    flag("--coco", results.coco, "coco.json, and one file per image in coco/");
    flag("--bowl", results.bowl, "bowl.csv: run lengths as the Data Science Bowl 2018 wants them");
    flag("--probabilities", results.probabilities, "what the network says of each pixel, as float TIFF");
  }

  /// The exit code.
  int print(const PredictSummary& done) const {
    const std::string out = printable(options.out.string());
    if (done.images > 0)
      std::printf("%lld nuclei in %s; see %s\n", static_cast<long long>(done.nuclei),
                  counted(done.images, "image").c_str(), out.c_str());
    for (const auto& [zoom, images] : done.by_zoom)
      if (zoom != 1)
        std::printf("%s: %s nuclei, so the network saw them %s as large (--zoom)\n",
                    counted(images, "image").c_str(), zoom > 1 ? "small" : "large",
                    zoom > 1      ? "twice"
                    : zoom == 0.5 ? "half"
                                  : "a quarter");
    if (done.skipped > 0)
      std::printf("%s finished before%s\n", counted(done.skipped, "image").c_str(),
                  done.images > 0 ? "" : ("; see " + out).c_str());
    if (done.interrupted) std::fprintf(stderr, "nuclei: stopped; %s goes on\n", to_go_on(options).c_str());
    if (done.failed > 0)
      std::fprintf(stderr, "nuclei: %zu of %zu images failed\n", done.failed, done.images + done.failed);
    if (done.interrupted) return StopOnSignal::exit_code();
    return done.failed > 0 ? failed : 0;
  }
};

}  // namespace

std::unique_ptr<Command> predict_command() { return std::make_unique<Predict>(); }

}  // namespace nuclei
