#include "predict.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "bowl.h"
#include "error.h"
#include "progress.h"
#include "report.h"
#include "segmenter.h"
#include "source.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Interrupted {};

/// A result cannot be written: the next one could not either.
struct CannotWrite : Failure {
  using Failure::Failure;
};

template <typename Task>
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

volatile std::sig_atomic_t interrupts = 0;

/// Ctrl-C asks to stop while one of these lives; a second one does it at once.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupts = 0;
    struct sigaction action = {};
    action.sa_handler = [](int signal) {
      interrupts = 1;
      std::signal(signal, SIG_DFL);
    };
    sigaction(SIGINT, &action, &int_);
    sigaction(SIGTERM, &action, &term_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard() {
    sigaction(SIGINT, &int_, nullptr);
    sigaction(SIGTERM, &term_, nullptr);
  }

 private:
  struct sigaction int_ = {}, term_ = {};
};

bool is_picture(const fs::path& path) {
  if (path.filename().string().starts_with('.')) return false;  // what macOS leaves beside real files
  static const std::set<std::string> known{".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".tf8", ".btf"};
  return known.contains(lower(path.extension().string()));
}

bool has_bowl_layout(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && fs::is_directory(entry.path() / "images")) return true;
  return false;
}

std::vector<fs::path> pictures_in(const fs::path& input) {
  if (!fs::exists(input)) throw Failure(input.string() + ": no such file or folder");
  if (!fs::is_directory(input)) {
    if (!fs::is_regular_file(input))
      throw Failure(input.string() + ": expected a file or a folder, this is a pipe or a device");
    return {input};
  }
  std::vector<fs::path> found;
  if (has_bowl_layout(input)) {
    for (const Sample& sample : scan_bowl(input, false)) found.push_back(sample.image);
  } else {
    for (const auto& entry : fs::directory_iterator(input))
      if (entry.is_regular_file() && is_picture(entry.path())) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    if (found.empty())
      throw Failure(
          input.string() +
          ": no images here; expected PNG, JPEG, BMP or TIFF files (folders inside are not searched), or the "
          "Data Science Bowl layout");
  }
  return found;
}

/// One picture to work on.
struct Job {
  fs::path file;
  int page = 1;
  bool paged = false;  // named by its page
};

/// The file's stem, told apart where two inputs share it.
std::string unique_name(const Job& job, std::set<std::string>& taken) {
  std::string stem = job.file.stem().string();
  if (const std::string l = lower(stem); l.size() > 4 && l.ends_with(".ome")) stem.resize(stem.size() - 4);
  if (job.paged) stem += "-page" + std::to_string(job.page);
  std::string name = stem;
  for (int i = 2; !taken.insert(name).second; ++i) name = stem + "-" + std::to_string(i);
  return name;
}

/// Page 0 stands for all pages.
void add_jobs(std::vector<Job>& jobs, const fs::path& file, int page) {
  if (page > 0) return jobs.push_back({file, page, page > 1});
  int pages = 1;
  try {
    pages = page_count(file);
  } catch (const Failure&) {
    // It will be reported when its turn comes.
  }
  for (int i = 1; i <= pages; ++i) jobs.push_back({file, i, pages > 1});
}

std::string settings_of(const PredictOptions& o, const fs::path& model) {
  const ResultOptions& r = o.results;
  const Json settings = {
      {"model", fs::absolute(model).string()},
      {"model_bytes", fs::file_size(model)},
      {"channel", o.channel},
      {"pixel_size", o.pixel_size},
      {"tta", o.tta},
      {"labels", static_cast<int>(r.labels)},
      {"files", {r.overlays, r.table, r.probabilities, r.rois, r.geojson, r.coco, r.bowl}}};
  return settings.dump();
}

/// Which pictures are complete, and how far the shared files were then: a line of JSON each.
class Finished {
 public:
  struct Entry {
    std::string key, name;
  };

  Finished(const fs::path& out, const std::string& settings, bool resume) {
    const fs::path path = out / "finished.jsonl";
    std::uint64_t keep = 0;
    if (resume && fs::exists(path)) keep = load(path, settings);
    file_.emplace(path, Json{{"settings", settings}}.dump() + "\n", keep);
  }
  bool contains(const std::string& key) const { return done_.contains(key); }
  const std::vector<Entry>& entries() const { return entries_; }
  std::uint64_t table_bytes() const { return table_bytes_; }
  std::uint64_t bowl_bytes() const { return bowl_bytes_; }

  void add(const Entry& entry, std::int64_t nuclei, std::uint64_t table_bytes, std::uint64_t bowl_bytes) {
    const Json line = {{"image", entry.key},
                       {"name", entry.name},
                       {"nuclei", nuclei},
                       {"table_bytes", table_bytes},
                       {"bowl_bytes", bowl_bytes}};
    file_->add(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    entries_.push_back(entry);
    done_.insert(entry.key);
  }

 private:
  /// Returns the bytes up to the end of the last whole line.
  std::uint64_t load(const fs::path& path, const std::string& settings) {
    std::ifstream file(path, std::ios::binary);
    std::uint64_t bytes = 0;
    for (std::string line; std::getline(file, line) && !file.eof();) {
      const Json entry = Json::parse(line, nullptr, false);
      if (entry.is_discarded()) break;
      if (bytes == 0) {
        if (entry.value("settings", "") != settings)
          throw Failure(
              "continuing " + path.parent_path().string() +
              ": it was begun with another model or other options; give the same ones, or start over "
              "with --overwrite instead of --continue");
      } else {
        entries_.push_back({entry.at("image"), entry.at("name")});
        done_.insert(entries_.back().key);
        table_bytes_ = entry.at("table_bytes");
        bowl_bytes_ = entry.at("bowl_bytes");
      }
      bytes += line.size() + 1;
    }
    return bytes;
  }

  std::optional<GrowingFile> file_;
  std::vector<Entry> entries_;
  std::set<std::string> done_;
  std::uint64_t table_bytes_ = 0, bowl_bytes_ = 0;
};

/// A picture is the same one as long as its file is not touched.
std::string key_of(const Job& job) {
  std::error_code error;
  const auto time = fs::last_write_time(job.file, error).time_since_epoch().count();
  return fs::absolute(job.file).lexically_normal().string() + " page " + std::to_string(job.page) +
         " bytes " + std::to_string(fs::file_size(job.file, error)) + " time " + std::to_string(time);
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
  constexpr double kLargest = 1e15;
  if (error != std::errc() || !units.contains(unit) || !(value > 0) || value * units.at(unit) > kLargest)
    throw UsageError("--max-memory: expected a size like 2GB or 500MB, got '" + text + "'");
  return static_cast<std::size_t>(value * units.at(unit));
}

PredictSummary predict(const PredictOptions& options) {
  if (options.resume && options.overwrite)
    throw UsageError("--continue keeps earlier results and --overwrite replaces them; choose one");
  if (fs::exists(options.out / "finished.jsonl") && !options.resume && !options.overwrite)
    throw Failure(
        options.out.string() +
        " holds the results of an earlier run; choose another --out, go on with it by --continue, or "
        "replace it by --overwrite");
  const fs::path model = options.model.empty() ? default_model() : options.model;
  Segmenter segmenter(model, select_device(options.device));
  const int map_channels = static_cast<int>(segmenter.model->options.out_channels);
  std::vector<Job> jobs;
  for (const fs::path& input : options.inputs)
    for (const fs::path& file : pictures_in(input)) add_jobs(jobs, file, options.page);

  PredictSummary summary;
  std::optional<Finished> finished;
  std::optional<GrowingFile> table, bowl;
  std::set<std::string> taken;
  const ResultOptions& results = options.results;
  const auto open_shared = [&] {
    if (finished) return;
    make_folder(options.out);
    finished.emplace(options.out, settings_of(options, model), options.resume);
    for (const Finished::Entry& entry : finished->entries()) taken.insert(entry.name);
    if (results.table) table.emplace(options.out / "nuclei.csv", csv_header(), finished->table_bytes());
    if (results.bowl)
      bowl.emplace(options.out / "bowl.csv", "ImageId,EncodedPixels\n", finished->bowl_bytes());
  };
  if (options.resume && fs::exists(options.out / "finished.jsonl")) open_shared();

  const InterruptGuard guard;
  // A single picture is counted in per cent.
  const bool single = jobs.size() == 1;
  Progress progress("finding nuclei", single ? 100 : static_cast<std::int64_t>(jobs.size()));
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
      std::fprintf(stderr, "\n%s: %s\n", job.file.string().c_str(), source->note().c_str());
    Image header = source->header();
    if (options.pixel_size > 0) header.pixel_width = header.pixel_height = options.pixel_size;

    writing(open_shared);
    const std::string name = unique_name(job, taken);
    try {
      std::optional<ImageResults> result;
      writing([&] { result.emplace(options.out, name, header, map_channels, results); });
      CheckedSink sink(*result);
      const FindSummary found =
          find_nuclei(segmenter, *source, {.max_memory = options.max_memory, .tta = options.tta}, sink,
                      [&](double share) {
                        if (interrupts) throw Interrupted();
                        const auto part = static_cast<std::int64_t>(100 * share);
                        progress.update(single ? part : number, name + " " + std::to_string(part) + " %");
                      });
      writing([&] {
        result->finish();
        if (table) table->add(result->table_rows());
        if (bowl) bowl->add(result->bowl_rows());
        finished->add({key, name}, found.nuclei, table ? table->size() : 0, bowl ? bowl->size() : 0);
      });
      if (found.cut > 0)
        std::fprintf(
            stderr,
            "\n%s: nuclei that touch reach over more rows than --max-memory leaves room for; they were "
            "separated in parts\n",
            job.file.string().c_str());
      summary.nuclei += found.nuclei;
      ++summary.images;
    } catch (...) {
      taken.erase(name);
      throw;
    }
  };
  for (std::size_t at = 0; at < jobs.size() && !interrupts; ++at) {
    const auto number = static_cast<std::int64_t>(at);
    try {
      work_on(jobs[at], number);
      progress.update(single ? 100 : number + 1, jobs[at].file.filename().string());
    } catch (const Interrupted&) {
      break;
    } catch (const CannotWrite&) {
      throw;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "\nskipped: %s\n", e.what());
      ++summary.failed;
    }
  }
  progress.finish();
  summary.interrupted = interrupts != 0;
  if (results.coco && finished && !finished->entries().empty()) {
    std::vector<std::string> names;
    for (const Finished::Entry& entry : finished->entries()) names.push_back(entry.name);
    join_coco(options.out, names);
  }
  return summary;
}

}  // namespace nuclei
