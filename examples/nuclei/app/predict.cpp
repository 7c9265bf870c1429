#include "app/predict.h"

#include <array>
#include <cstdio>
#include <new>
#include <optional>
#include <set>

#include <karyon/core/distributed/rank_lost.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/progress.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "common/text.h"
#include "dataset/listing.h"
#include "imageio/atomic_file.h"
#include "imageio/image_source.h"
#include "inference/segmenter.h"
#include "output/finished.h"
#include "output/formats.h"
#include "output/jobs.h"
#include "output/parts.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array zooms{0.25, 0.5, 1.0, 2.0, 4.0};  // that --zoom auto may choose

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
  void begin_as_first();
  void begin_part();
  void close_shared();
  void open_shared();
  void work_on(const Job& job, std::int64_t number);
  bool is_done(const std::string& key) const;
  void reserve_name(const Job& job);
  void join();
  void add_up();
  std::string take_name(const Job& job, bool says);
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
  bool resumes_;                // opens tables as they are
  bool continues_ = false;      // an earlier run
  fs::path tables_;             // the folder of the tables and of the list of finished pictures
  std::set<std::string> done_;  // keys, of ranks that share the work
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
  if ((Finished::any(options.out) || has_parts(options.out)) && !options.resume && !options.overwrite)
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
      resumes_(options.resume),
      tables_(options.out) {
  Jobs found = list_jobs(options.inputs, options.page, options.recursive);
  jobs_ = std::move(found.jobs);
  if (Ranks::is_first())
    for (const std::string& note : found.notes) std::fprintf(stderr, "%s\n", printable(note).c_str());
  Ranks::group()->barrier();  // all have seen the folder as it was
  if (Ranks::is_first()) begin_as_first();
}

/// What one process does with an earlier run.
void Prediction::begin_as_first() {
  if (options_.resume || options_.overwrite) join_parts(options_.out, {});
  continues_ = options_.resume && Finished::earlier(options_.out);
  std::error_code error;
  if (options_.resume && fs::exists(options_.out / "finished.jsonl", error)) open_shared();
  if (finished_ && finished_->gone() > 0)
    std::fprintf(stderr, "%s: results of %s are gone and count as not finished\n",
                 printable(options_.out.string()).c_str(),
                 counted(finished_->gone(), "finished image").c_str());
}

/// Ranks of a job begin with what is finished, and have tables of their own until they are joined.
void Prediction::begin_part() {
  if (Ranks::size() == 1) return;
  close_shared();
  Ranks::group()->barrier();
  if (const auto run = Finished::earlier(options_.out)) {
    continues_ = true;
    for (const Finished::Entry& entry : run->entries) {
      done_.insert(entry.key);
      names_.insert(entry.name);
    }
  }
  tables_ = part_folder(options_.out, Ranks::rank());
}

void Prediction::close_shared() {
  finished_.reset();
  for (auto& file : shared_) file.reset();
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
  if (Ranks::is_first()) clean_up();
  begin_part();
  // A single picture is counted in per cent.
  const bool single = jobs_.size() == 1;
  progress_.emplace("finding nuclei", single ? 100 : static_cast<std::int64_t>(jobs_.size()), stderr,
                    !Ranks::is_first() ? Progress::Show::nothing
                    : single           ? Progress::Show::percent
                                       : Progress::Show::steps);
  const auto ranks = static_cast<std::size_t>(Ranks::size());
  for (std::size_t at = 0; at < jobs_.size() && !StopOnSignal::signal(); ++at) {
    const auto number = static_cast<std::int64_t>(at);
    try {
      if (at % ranks != static_cast<std::size_t>(Ranks::rank())) {
        reserve_name(jobs_[at]);
        continue;
      }
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
      const std::string why = e.what(), file = jobs_[at].file.string();
      progress_->say("skipped: " + (why.find(file) == why.npos ? file + ": " : "") + why);
      ++summary_.failed;
    }
  }
  finish();
  add_up();
  return summary_;
}

/// The summary of all ranks.
void Prediction::add_up() {
  if (Ranks::size() == 1) return;
  std::vector<std::int64_t> counts{
      static_cast<std::int64_t>(summary_.images), static_cast<std::int64_t>(summary_.failed),
      static_cast<std::int64_t>(summary_.skipped), summary_.nuclei, summary_.interrupted ? 1 : 0};
  for (const double zoom : zooms) counts.push_back(static_cast<std::int64_t>(summary_.by_zoom[zoom]));
  const karyon::Tensor sums = karyon::tensor(counts);
  Ranks::group()->all_reduce(sums);
  counts = sums.to_vector<std::int64_t>();
  summary_ = {.images = static_cast<std::size_t>(counts[0]),
              .failed = static_cast<std::size_t>(counts[1]),
              .skipped = static_cast<std::size_t>(counts[2]),
              .by_zoom = {},
              .nuclei = counts[3],
              .interrupted = counts[4] > 0};
  for (std::size_t i = 0; i < zooms.size(); ++i)
    if (const auto images = static_cast<std::size_t>(counts[5 + i]); images > 0)
      summary_.by_zoom[zooms[i]] = images;
}

/// The folder of results and the files that its pictures share. Without a picture that can be read nothing is
/// written.
void Prediction::open_shared() {
  if (finished_) return;
  create_folder(tables_);
  finished_.emplace(tables_, settings_of(options_, model_), resumes_,
                    [&](const std::string& name) { return are_there(options_.out, name, options_.results); });
  for (const Finished::Entry& entry : finished_->entries()) names_.insert(entry.name);
  const std::array<std::string, shared_files.size()> headers{csv_header(), images_header(),
                                                             "ImageId,EncodedPixels\n"};
  for (std::size_t i = 0; i < shared_files.size(); ++i)
    if (is_wanted(i, options_.results))
      shared_[i].emplace(tables_ / shared_files[i], headers[i], finished_->bytes()[i]);
}

void Prediction::work_on(const Job& job, std::int64_t number) {
  const std::string key = key_of(job);
  if (is_done(key)) {
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
  const std::string name = take_name(job, true);
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

bool Prediction::is_done(const std::string& key) const {
  return done_.contains(key) || (finished_ && finished_->contains(key));
}

/// Names depend on the pictures before, whoever works on them.
void Prediction::reserve_name(const Job& job) {
  if (!is_done(key_of(job))) take_name(job, false);
}

/// A name for the picture's results that no other picture has.
std::string Prediction::take_name(const Job& job, bool says) {
  const std::string own = own_name(job);
  std::string name = own;
  for (int i = 2; !names_.insert(name).second; ++i) name = own + "-" + std::to_string(i);
  if (says && name != own)
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

/// One table of what all ranks have found.
void Prediction::join() {
  close_shared();
  Ranks::group()->barrier();
  if (!Ranks::is_first()) return;
  std::vector<std::string> order;
  for (const Job& job : jobs_) order.push_back(key_of(job));
  join_parts(options_.out, order);
  tables_ = options_.out;
  resumes_ = true;
  if (Finished::earlier(options_.out)) open_shared();
}

void Prediction::finish() {
  progress_->finish();
  if (Ranks::size() == 1) check_results();
  if (finished_) finished_->end();
  summary_.interrupted = StopOnSignal::signal() != 0;
  if (Ranks::size() > 1) join();
  if (!Ranks::is_first()) return;
  if (options_.results.coco && finished_ && !finished_->entries().empty()) {
    std::vector<std::string> names;
    for (const Finished::Entry& entry : finished_->entries()) names.push_back(entry.name);
    join_coco(options_.out, names);
  }
}

}  // namespace

std::string to_go_on(const PredictOptions& options) {
  return std::string("the same command with --continue") +
         (options.overwrite ? " in place of --overwrite" : "");
}

PredictSummary predict(const PredictOptions& options) try {
  return Prediction(options).run();
} catch (const karyon::distributed::RankLost& e) {
  throw karyon::distributed::RankLost("go on, with as many processes as you like, by " + to_go_on(options),
                                      e.rank());
}

}  // namespace nuclei
