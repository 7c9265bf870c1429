#include "app/predict.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "app/command.h"
#include "common/error.h"
#include "common/progress.h"
#include "common/stop.h"
#include "common/text.h"
#include "dataset/listing.h"
#include "imageio/atomic_file.h"
#include "imageio/image_source.h"
#include "inference/segmenter.h"
#include "output/finished.h"
#include "output/formats.h"
#include "output/jobs.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A signal asks for a stop in the middle of a picture.
struct Interrupted {};

/// A result cannot be written. The next one could not be written either, so the run ends.
struct CannotWrite : Failure {
  using Failure::Failure;
};

template <class Task>
void writing(const Task& task) {
  try {
    task();
  } catch (const std::bad_alloc&) {
    throw CannotWrite("writing results: not enough memory; lower --max-memory, or close other programs");
  } catch (const std::exception& e) {
    throw CannotWrite(e.what());
  }
}

class CheckedSink : public FindSink {
 public:
  explicit CheckedSink(FindSink& sink) : sink_(sink) {}
  void rows(int y, int count, const std::int32_t* labels, const float* maps, const float* pixels) override {
    writing([&] { sink_.rows(y, count, labels, maps, pixels); });
  }
  void nucleus(const Found& found) override {
    writing([&] { sink_.nucleus(found); });
  }

 private:
  FindSink& sink_;
};

/// Stops between rows, also where nothing is computed yet.
class StoppableSource : public ImageSource {
 public:
  explicit StoppableSource(ImageSource& source) : source_(source) { header_ = source.header(); }
  void read(int y, int count, float* pixels) override {
    if (StopOnSignal::signal()) throw Interrupted();
    source_.read(y, count, pixels);
  }
  std::size_t held_bytes() const override { return source_.held_bytes(); }

 private:
  ImageSource& source_;
};

/// The image's name, and the page's number where there are several.
std::string own_name(const Job& job) {
  return name_of(job.file) + (job.paged ? "-page" + std::to_string(job.page.value_or(1)) : "");
}

std::string settings_of(const PredictOptions& o, const fs::path& model) {
  Json settings = {{"format", 3},  // of the shared files
                   {"model", to_utf8(fs::absolute(model).string())},
                   {"model_bytes", fs::file_size(model)},
                   {"channel", to_utf8(o.channel)},
                   {"pixel_size", o.pixel_size},
                   {"tta", o.tta},
                   {"zoom", o.zoom},
                   {"precision", o.precision}};
  to_json(settings, o.results);
  return settings.dump();
}

/// How to go on with a run that is not complete.
std::string to_go_on(const PredictOptions& options) {
  return std::string("the same command with --continue") +
         (options.overwrite ? " in place of --overwrite" : "");
}

/// Names a picture by its file and page, and by the file's size and time: a file that has changed is another
/// picture.
std::string key_of(const Job& job) {
  std::error_code error;
  const auto time = fs::last_write_time(job.file, error).time_since_epoch().count();
  return place_of(job.file) + " page " + std::to_string(job.page.value_or(1)) + " bytes " +
         std::to_string(fs::file_size(job.file, error)) + " time " + std::to_string(time);
}

/// One call of predict().
class Prediction {
 public:
  explicit Prediction(const PredictOptions& options);
  PredictSummary run();

 private:
  void clean_up();
  void open_shared();
  void work_on(const Job& job, std::int64_t number);
  std::string take_name(const Job& job);
  FindSummary find(ImageSource& source, ImageResults& result, const std::string& name, std::int64_t number);
  void say_what_was_seen(const Job& job, const FindSummary& found);
  void check_results() const;
  void finish();

  const PredictOptions& options_;
  fs::path model_;
  StopOnSignal stop_on_signal_;
  Segmenter segmenter_;
  karyon::AutocastGuard autocast_;
  std::vector<Job> jobs_;
  bool continues_;  // an earlier run
  std::optional<Finished> finished_;
  std::array<std::optional<GrowingFile>, shared_files.size()> shared_;
  std::set<std::string> names_;  // of results that are there
  std::set<std::string> noted_;
  std::optional<Progress> progress_;
  PredictSummary summary_;
};

/// The file of the model, once it is clear that the options go together.
fs::path checked_model(const PredictOptions& options) {
  if (options.resume && options.overwrite)
    throw UsageError("--continue keeps earlier results and --overwrite replaces them; choose one");
  if (Finished::any(options.out) && !options.resume && !options.overwrite)
    throw Failure(
        options.out.string() +
        " holds the results of an earlier run; choose another --out, go on with it by --continue, or "
        "replace it by --overwrite");
  if (!options.overwrite && !Finished::earlier(options.out))
    require_free_shared(options.out, options.results);
  return model_file(options.model);
}

Prediction::Prediction(const PredictOptions& options)
    : options_(options),
      model_(checked_model(options)),
      segmenter_(model_, select_device(options.device)),
      autocast_(select_precision(options.precision)),
      continues_(options.resume && Finished::earlier(options.out)) {
  Jobs found = list_jobs(options.inputs, options.page, options.recursive);
  jobs_ = std::move(found.jobs);
  for (const std::string& note : found.notes) std::fprintf(stderr, "%s\n", printable(note).c_str());
  std::error_code error;
  if (options.resume && fs::exists(options.out / "finished.jsonl", error)) open_shared();
  if (finished_ && finished_->gone() > 0)
    std::fprintf(stderr, "%s: results of %s are gone and count as not finished\n",
                 printable(options.out.string()).c_str(),
                 counted(finished_->gone(), "finished image").c_str());
}

/// From here on the folder holds nothing of an earlier run, also if every picture fails. A run that is
/// continued may have been killed while it wrote a picture, which need not be among the inputs any more.
void Prediction::clean_up() {
  for (const char* folder : {"", "labels", "overlays", "probabilities", "rois", "geojson", "coco"})
    karyon::remove_stale_files(options_.out / folder);
  std::set<std::string> inputs;
  for (const Job& job : jobs_) inputs.insert(place_of(job.file));
  if (!options_.resume) {
    remove_earlier_run(options_.out, inputs);
  } else if (const auto run = Finished::earlier(options_.out); run && !run->begun.empty()) {
    remove_results(options_.out, run->begun, options_.results);
  }
  // What is still there is the user's.
  if (continues_ || options_.overwrite) return;
  for (const Job& job : jobs_) require_free(options_.out, own_name(job), options_.results);
}

PredictSummary Prediction::run() {
  clean_up();
  // A single picture is counted in per cent.
  const bool single = jobs_.size() == 1;
  progress_.emplace("finding nuclei", single ? 100 : static_cast<std::int64_t>(jobs_.size()), stderr,
                    single ? Progress::Show::percent : Progress::Show::steps);
  for (std::size_t at = 0; at < jobs_.size() && !StopOnSignal::signal(); ++at) {
    const auto number = static_cast<std::int64_t>(at);
    try {
      work_on(jobs_[at], number);
      progress_->update(single ? 100 : number + 1, jobs_[at].file.filename().string());
    } catch (const Interrupted&) {
      break;
    } catch (const CannotWrite&) {
      throw;
    } catch (const std::bad_alloc&) {
      progress_->say("skipped: " + jobs_[at].file.string() +
                     ": not enough memory; lower --max-memory, close other programs, or cut the image");
      ++summary_.failed;
    } catch (const std::exception& e) {
      progress_->say(std::string("skipped: ") + e.what());
      ++summary_.failed;
    }
  }
  finish();
  return summary_;
}

/// The folder of results and the files that its pictures share. Without a picture that can be read nothing is
/// written.
void Prediction::open_shared() {
  if (finished_) return;
  create_folder(options_.out);
  finished_.emplace(options_.out, settings_of(options_, model_), options_.resume,
                    [&](const std::string& name) { return are_there(options_.out, name, options_.results); });
  for (const Finished::Entry& entry : finished_->entries()) names_.insert(entry.name);
  const std::array<std::string, shared_files.size()> headers{csv_header(), images_header(),
                                                             "ImageId,EncodedPixels\n"};
  for (std::size_t i = 0; i < shared_files.size(); ++i)
    if (is_wanted(i, options_.results))
      shared_[i].emplace(options_.out / shared_files[i], headers[i], finished_->bytes()[i]);
}

void Prediction::work_on(const Job& job, std::int64_t number) {
  const std::string key = key_of(job);
  if (finished_ && finished_->contains(key)) {
    ++summary_.skipped;
    return;
  }
  const std::unique_ptr<ImageSource> source = open_image(
      job.file, {.page = job.page, .channel = options_.channel, .max_memory = options_.max_memory});
  // The same note is printed once, not for every picture of a folder.
  const std::string note = source->note_and_remark();
  if (!note.empty() && noted_.insert(note).second) progress_->say(job.file.string() + ": " + note);
  Image header = source->header();
  if (options_.pixel_size > 0) header.pixel_width = header.pixel_height = options_.pixel_size;

  writing([&] { open_shared(); });
  const std::string name = take_name(job);
  if (!continues_ && !options_.overwrite)
    writing([&] { require_free(options_.out, name, options_.results); });
  finished_->begin(name);
  try {
    std::optional<ImageResults> result;
    writing([&] {
      result.emplace(options_.out, ResultNames{name, job.below, job.file.string()}, header,
                     static_cast<int>(segmenter_.model->options.out_channels), options_.results);
    });
    const FindSummary found = find(*source, *result, name, number);
    writing([&] {
      result->finish();
      Finished::Entry entry{key, name, found.nuclei, {}};
      for (std::size_t i = 0; i < shared_.size(); ++i) {
        if (!shared_[i]) continue;
        shared_[i]->add(result->shared_rows(i, found.zoom, note));
        entry.bytes[i] = shared_[i]->size();
      }
      finished_->add(entry);
    });
    if (found.cut > 0)
      progress_->say(job.file.string() +
                     ": nuclei that touch reach over more rows than --max-memory leaves room for; they were "
                     "separated in parts");
    summary_.nuclei += found.nuclei;
    if (options_.zoom == auto_zoom) ++summary_.by_zoom[found.zoom];
    say_what_was_seen(job, found);
    ++summary_.images;
  } catch (...) {
    remove_results(options_.out, name, options_.results);  // of a part of the picture
    names_.erase(name);
    throw;
  }
}

void Prediction::say_what_was_seen(const Job& job, const FindSummary& found) {
  const std::string file = job.file.string();
  if (found.holes > 0)
    progress_->say(file + ": " + counted(static_cast<std::size_t>(found.holes), "pixel") +
                   " without a value (NaN or infinite): taken for background, and not measured");
  if (found.size.too_large || found.size.too_small)
    progress_->say(file + ": nuclei of about " + fixed(found.size.diameter, 0) + " pixels across are too " +
                   (found.size.too_large ? "large" : "small") +
                   " for the model, whatever --zoom: expect wrong results" +
                   (found.size.too_large ? ", or shrink the image" : ""));
}

/// A name for the picture's results that no other picture has.
std::string Prediction::take_name(const Job& job) {
  const std::string own = own_name(job);
  std::string name = own;
  for (int i = 2; !names_.insert(name).second; ++i) name = own + "-" + std::to_string(i);
  if (name != own)
    progress_->say(job.file.string() + ": its results are named " + name + ", there are others named " + own);
  return name;
}

FindSummary Prediction::find(ImageSource& source, ImageResults& result, const std::string& name,
                             std::int64_t number) {
  CheckedSink sink(result);
  StoppableSource stoppable(source);
  return find_nuclei(segmenter_, stoppable,
                     {.max_memory = options_.max_memory, .tta = options_.tta, .zoom = options_.zoom}, sink,
                     [&](double share) {
                       if (StopOnSignal::signal()) throw Interrupted();
                       const auto part = static_cast<std::int64_t>(100 * share);
                       if (jobs_.size() == 1) {
                         progress_->update(part, name);
                       } else {
                         progress_->update(number, name + " " + std::to_string(part) + " %");
                       }
                     });
}

/// Somebody may have removed results while others were made.
void Prediction::check_results() const {
  if (!finished_) return;
  finished_->check();
  for (const std::optional<GrowingFile>& file : shared_)
    if (file) file->check();
  std::string first;
  std::size_t gone = 0;
  for (const Finished::Entry& entry : finished_->entries()) {
    if (are_there(options_.out, entry.name, options_.results)) continue;
    if (gone++ == 0) first = entry.name;
  }
  if (gone > 0)
    throw Failure(options_.out.string() + ": results of " + counted(gone, "finished image") + " are gone (" +
                  first + (gone > 1 ? ", ..." : "") + "); " + to_go_on(options_) + " makes them again");
}

void Prediction::finish() {
  progress_->finish();
  check_results();
  if (finished_) finished_->end();
  summary_.interrupted = StopOnSignal::signal() != 0;
  if (options_.results.coco && finished_ && !finished_->entries().empty()) {
    std::vector<std::string> names;
    for (const Finished::Entry& entry : finished_->entries()) names.push_back(entry.name);
    join_coco(options_.out, names);
  }
}

}  // namespace

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

PredictSummary predict(const PredictOptions& options) { return Prediction(options).run(); }

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

  int run() override {
    options.max_memory = parse_size(max_memory);
    if (page) options.page = parse_page(*page);
    options.results.labels = labels == "png"    ? LabelFormat::png
                             : labels == "tiff" ? LabelFormat::tiff
                                                : LabelFormat::none;
    return print(predict(options));
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
