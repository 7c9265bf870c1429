#include "app/predict.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/progress.h"
#include "common/stop.h"
#include "common/text.h"
#include "imageio/source.h"
#include "inference/segmenter.h"
#include "output/finished.h"
#include "output/jobs.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Interrupted {};

/// A result cannot be written: the next one could not either.
struct CannotWrite : Failure {
  using Failure::Failure;
};

template <class Task>
void writing(const Task& task) {
  try {
    task();
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

/// The file's stem, and the page's number where there are several.
std::string own_name(const Job& job) {
  std::string stem = job.file.stem().string();
  if (const std::string l = lower(stem); l.size() > 4 && l.ends_with(".ome")) stem.resize(stem.size() - 4);
  if (job.paged) stem += "-page" + std::to_string(job.page.value_or(1));
  return stem;
}

std::string settings_of(const PredictOptions& o, const fs::path& model) {
  const ResultOptions& r = o.results;
  const Json settings = {
      {"format", 2},  // of the shared files
      {"model", fs::absolute(model).string()},
      {"model_bytes", fs::file_size(model)},
      {"channel", o.channel},
      {"pixel_size", o.pixel_size},
      {"tta", o.tta},
      {"zoom", o.zoom},
      {"precision", o.precision},
      {"labels", static_cast<int>(r.labels)},
      {"files", {r.overlays, r.table, r.probabilities, r.rois, r.geojson, r.coco, r.bowl}}};
  return settings.dump();
}

/// A picture is the same one as long as its file is not touched.
std::string key_of(const Job& job) {
  std::error_code error;
  const auto time = fs::last_write_time(job.file, error).time_since_epoch().count();
  return place_of(job.file) + " page " + std::to_string(job.page.value_or(1)) + " bytes " +
         std::to_string(fs::file_size(job.file, error)) + " time " + std::to_string(time);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Failure(folder.string() + ": cannot create the folder: " + error.message());
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

PredictSummary predict(const PredictOptions& options) {
  if (options.resume && options.overwrite)
    throw UsageError("--continue keeps earlier results and --overwrite replaces them; choose one");
  if (Finished::any(options.out) && !options.resume && !options.overwrite)
    throw Failure(
        options.out.string() +
        " holds the results of an earlier run; choose another --out, go on with it by --continue, or "
        "replace it by --overwrite");
  const fs::path model = model_file(options.model);
  const StopOnSignal stop;
  Segmenter segmenter(model, select_device(options.device));
  const karyon::AutocastGuard autocast(select_precision(options.precision));
  const int map_channels = static_cast<int>(segmenter.model->options.out_channels);
  const auto [jobs, notes] = list_jobs(options.inputs, options.page, options.recursive);
  for (const std::string& note : notes) std::fprintf(stderr, "%s\n", note.c_str());

  PredictSummary summary;
  std::optional<Finished> finished;
  std::optional<GrowingFile> table, bowl;
  std::set<std::string> taken;
  const ResultOptions& results = options.results;
  const auto open_shared = [&] {
    if (finished) return;
    make_folder(options.out);
    finished.emplace(options.out, settings_of(options, model), options.resume,
                     [&](const std::string& name) { return are_there(options.out, name, results); });
    for (const Finished::Entry& entry : finished->entries()) taken.insert(entry.name);
    if (results.table) table.emplace(options.out / "nuclei.csv", csv_header(), finished->table_bytes());
    if (results.bowl)
      bowl.emplace(options.out / "bowl.csv", "ImageId,EncodedPixels\n", finished->bowl_bytes());
  };
  if (options.resume && fs::exists(options.out / "finished.jsonl")) open_shared();
  if (finished && finished->gone() > 0)
    std::fprintf(stderr, "%s: results of %s are gone and count as not finished\n",
                 options.out.string().c_str(), counted(finished->gone(), "finished image").c_str());

  // A single picture is counted in per cent.
  const bool single = jobs.size() == 1;
  Progress progress("finding nuclei", single ? 100 : static_cast<std::int64_t>(jobs.size()), stderr,
                    single ? Progress::Show::percent : Progress::Show::steps);
  std::set<std::string> noted;
  const auto work_on = [&](const Job& job, std::int64_t number) {
    const std::string key = key_of(job);
    if (finished && finished->contains(key)) {
      ++summary.skipped;
      return;
    }
    const std::unique_ptr<ImageSource> source =
        open_image(job.file, {.page = job.page, .channel = options.channel});
    // What was chosen is said once, not for every picture of a folder.
    if (!source->note().empty() && noted.insert(source->note()).second)
      progress.say(job.file.string() + ": " + source->note());
    Image header = source->header();
    if (options.pixel_size > 0) header.pixel_width = header.pixel_height = options.pixel_size;

    writing(open_shared);
    const std::string own = own_name(job);
    std::string name = own;
    for (int i = 2; !taken.insert(name).second; ++i) name = own + "-" + std::to_string(i);
    if (name != own)
      progress.say(job.file.string() + ": its results are named " + name + ", there are others named " + own);
    try {
      std::optional<ImageResults> result;
      writing([&] {
        result.emplace(options.out, ResultNames{name, job.below, job.file.string()}, header, map_channels,
                       results);
      });
      CheckedSink sink(*result);
      const FindSummary found = find_nuclei(
          segmenter, *source, {.max_memory = options.max_memory, .tta = options.tta, .zoom = options.zoom},
          sink, [&](double share) {
            if (StopOnSignal::signal()) throw Interrupted();
            const auto part = static_cast<std::int64_t>(100 * share);
            if (single) {
              progress.update(part, name);
            } else {
              progress.update(number, name + " " + std::to_string(part) + " %");
            }
          });
      writing([&] {
        result->finish();
        if (table) table->add(result->table_rows());
        if (bowl) bowl->add(result->bowl_rows());
        finished->add({key, name, found.nuclei, table ? table->size() : 0, bowl ? bowl->size() : 0});
      });
      if (found.cut > 0)
        progress.say(job.file.string() +
                     ": nuclei that touch reach over more rows than --max-memory leaves room for; they were "
                     "separated in parts");
      summary.nuclei += found.nuclei;
      summary.enlarged += found.zoom > 1;
      ++summary.images;
    } catch (...) {
      taken.erase(name);
      throw;
    }
  };
  for (std::size_t at = 0; at < jobs.size() && !StopOnSignal::signal(); ++at) {
    const auto number = static_cast<std::int64_t>(at);
    try {
      work_on(jobs[at], number);
      progress.update(single ? 100 : number + 1, jobs[at].file.filename().string());
    } catch (const Interrupted&) {
      break;
    } catch (const CannotWrite&) {
      throw;
    } catch (const std::exception& e) {
      progress.say(std::string("skipped: ") + e.what());
      ++summary.failed;
    }
  }
  progress.finish();
  summary.interrupted = StopOnSignal::signal() != 0;
  if (results.coco && finished && !finished->entries().empty()) {
    std::vector<std::string> names;
    for (const Finished::Entry& entry : finished->entries()) names.push_back(entry.name);
    join_coco(options.out, names);
  }
  return summary;
}

}  // namespace nuclei
