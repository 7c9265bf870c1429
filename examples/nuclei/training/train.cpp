#include "training/train.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

#include <karyon/karyon.h>

#include "common/error.h"
#include "common/progress.h"
#include "common/stop.h"
#include "common/text.h"
#include "evaluation/evaluation.h"
#include "evaluation/metrics.h"
#include "imageio/atomic_file.h"
#include "inference/segmenter.h"
#include "report/html_report.h"
#include "training/crop_dataset.h"
#include "training/folds.h"
#include "training/tune.h"

namespace nuclei {
namespace {

using karyon::Tensor;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// The settings that decide the result: a resumed run takes them from its checkpoint.
Json to_json(const TrainOptions& o, std::int64_t epochs) {
  return {{"data", std::filesystem::absolute(o.data).string()},
          {"epochs", epochs},
          {"crop", o.crop},
          {"batch_size", o.batch_size},
          {"init", o.init ? o.init->filename().string() : ""},
          {"base_width", o.base_width},
          {"depth", o.depth},
          {"lr", o.lr},
          {"seed", o.seed},
          {"validation", o.validation},
          {"folds", o.folds},
          {"fold", o.fold},
          {"patience", o.patience},
          {"validate_every", o.validate_every},
          {"limit", o.limit},
          {"precision", o.precision}};
}

void check_options(const TrainOptions& o) {
  auto require = [](bool ok, const std::string& text) {
    if (!ok) throw UsageError(text);
  };
  require(!o.epochs || *o.epochs >= 1,
          "--epochs: expects 1 or more, got " + std::to_string(o.epochs.value_or(0)));
  require(!o.max_minutes || *o.max_minutes > 0, "--max-minutes: expects more than 0");
  require(o.crop >= 16 && o.crop <= 4096, "--crop: expects 16 to 4096 pixels, got " + std::to_string(o.crop));
  require(o.batch_size >= 1, "--batch-size: expects 1 or more, got " + std::to_string(o.batch_size));
  require(o.base_width >= 1 && o.base_width <= 1024,
          "--base-width: expects 1 to 1024, got " + std::to_string(o.base_width));
  require(o.depth >= 1 && o.depth <= 8, "--depth: expects 1 to 8, got " + std::to_string(o.depth));
  require(o.crop >> o.depth >= 2 || o.batch_size > 1,
          "--crop: " + std::to_string(o.crop) + " pixels halved " + std::to_string(o.depth) +
              " times leave nothing to normalize; use a larger crop, a larger batch or less depth");
  require(std::isfinite(o.lr) && o.lr > 0, "--lr: expects a positive number");
  require(o.validation >= 0 && o.validation < 1, "--validation: expects a share of 0 or more, below 1");
  require(o.folds == 0 || o.folds >= 2, "--folds: expects 2 or more, got " + std::to_string(o.folds));
  require(o.fold >= 0 && o.fold <= o.folds, "--fold: expects 1 to the number of --folds, " +
                                                std::to_string(o.folds) + ", got " + std::to_string(o.fold));
  require(o.patience >= 0, "--patience: expects 0 or more epochs");
  require(o.validate_every >= 1,
          "--validate-every: expects 1 or more epochs, got " + std::to_string(o.validate_every));
  require(o.patience == 0 || o.patience >= o.validate_every,
          "--patience: expects at least the " + std::to_string(o.validate_every) +
              " epochs of --validate-every, or nothing would be scored in between, got " +
              std::to_string(o.patience));
  require(o.limit >= 0, "--limit: expects 0 or more");
  select_precision(o.precision);
}

// Cross entropy for all maps; for the two that say yes or no also the overlap of the areas, in which the few
// pixels of borders and of sparse pictures count as much as those of others.
Tensor loss_of(karyon::UNet& model, const karyon::Batch& batch, const TrainOptions& o) {
  const karyon::AutocastGuard autocast(select_precision(o.precision));
  const Tensor logits = model(batch[0]);
  const Tensor& target = batch[1];
  const Tensor entropy = karyon::bce_with_logits(logits, target, {.weight = batch[2]});
  const Tensor overlap = karyon::dice_loss(karyon::split(logits, {2, map_count - 2}, -1)[0],
                                           karyon::split(target, {2, map_count - 2}, -1)[0]);
  return entropy * 2 + overlap;
}

karyon::UNetOptions network(const TrainOptions& o) {
  return {.out_channels = map_count, .base_width = o.base_width, .depth = o.depth};
}

// The model that --init names; the options learn its size.
Segmenter initial_model(TrainOptions& o) {
  Segmenter initial(model_file(*o.init), karyon::Device::cpu());
  o.base_width = initial.model->options.base_width;
  o.depth = initial.model->options.depth;
  return initial;
}

// The share of a step's weights in their moving average: the average forgets what is older than the last
// tenth of the training, or than 500 steps.
double average_share(std::int64_t step) { return std::max(0.002, 9 / (10 + static_cast<double>(step))); }

Split hold_out_fold(const std::vector<int>& fold_of, int fold) {
  Split split;
  for (std::size_t i = 0; i < fold_of.size(); ++i)
    (fold_of[i] == fold ? split.validation : split.train).push_back(i);
  return split;
}

// A path need not be UTF-8, but JSON must.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// One line of metrics.csv.
struct EpochMetrics {
  std::int64_t epoch;
  double train_loss, validation_loss;
  Scores scores;
  double lr, seconds;
};

Json to_json(const EpochMetrics& m) {
  return {m.epoch,       m.train_loss, m.validation_loss, m.scores.accuracy, m.scores.iou, m.scores.dice,
          m.scores.bowl, m.lr,         m.seconds};
}

std::string metrics_csv(const Json& history) {
  std::ostringstream out;
  out << "epoch,train_loss,val_loss,val_accuracy,val_iou,val_dice,val_bowl,lr,seconds\n";
  for (const Json& row : history) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) out << ',';
      if (i == 0) {
        out << row[i].get<std::int64_t>();
      } else {
        const auto value = row[i].is_null() ? std::nan("") : row[i].get<double>();  // JSON has no NaN
        out << fixed(value, i == 7 ? 8 : i == 8 ? 1 : 6);
      }
    }
    out << '\n';
  }
  return out.str();
}

std::filesystem::path checkpoint_file(const std::filesystem::path& run) {
  return std::filesystem::is_directory(run) ? run / "last.ckpt" : run;
}

std::vector<Example> read_examples(const std::vector<Sample>& samples, const char* what) {
  std::vector<Example> examples(samples.size());
  Progress progress(what, static_cast<std::int64_t>(samples.size()));
  constexpr std::size_t at_once = 32;
  for (std::size_t first = 0; first < samples.size() && !StopOnSignal::signal(); first += at_once) {
    const auto n = static_cast<std::int64_t>(std::min(at_once, samples.size() - first));
    karyon::parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = first + static_cast<std::size_t>(begin); i < first + static_cast<std::size_t>(end); ++i)
        examples[i] = read_example(samples[i]);
    });
    progress.update(static_cast<std::int64_t>(first) + n);
  }
  return examples;
}

// Everything a training run holds; the parts that change with each step are what a checkpoint saves.
class Training {
 public:
  explicit Training(TrainOptions options);
  bool run();  // false if it was stopped

 private:
  void load_data();
  std::int64_t epochs_that_fit();
  void resume_from(const karyon::TensorFile& checkpoint);
  void save_checkpoint() const;
  bool train_epoch();             // false if it was stopped
  bool validate(double seconds);  // after an epoch of so many; false if it was stopped
  bool tune();
  void save_model(const karyon::UNet& model, std::int64_t epoch, const std::vector<Scores>& scores,
                  const SegmentOptions& thresholds) const;
  void write_report() const;
  double minutes() const { return std::chrono::duration<double>(Clock::now() - start_).count() / 60; }
  bool time_is_up() const {
    return StopOnSignal::signal() || (options_.max_minutes && minutes() >= *options_.max_minutes);
  }
  std::filesystem::path checkpoint_path() const { return options_.out / "last.ckpt"; }
  std::filesystem::path model_path() const { return options_.out / "model.safetensors"; }

  StopOnSignal stop_on_signal_;
  TrainOptions options_;
  Clock::time_point start_ = Clock::now();
  karyon::Device device_;
  std::vector<Example> validation_;
  Evaluation evaluation_;  // of the last epoch
  Baselines baselines_;
  std::unique_ptr<CropDataset> crops_;
  std::unique_ptr<karyon::DataLoader> loader_;
  std::unique_ptr<karyon::UNet> model_;
  std::unique_ptr<karyon::UNet> average_;  // of model_ over its last steps: what is validated and kept
  std::unique_ptr<karyon::AdamW> optimizer_;
  std::unique_ptr<karyon::CosineLR> schedule_;

  std::int64_t epochs_ = 0, epoch_ = 0, batch_ = 0;  // the next batch to train on
  SegmentOptions thresholds_;  // until they are fitted: those of the model that the training began with
  std::string split_csv_;
  std::string fingerprint_;  // of the images and how they were split
  double loss_sum_ = 0;      // of this epoch's batches so far
  double best_ = -1;
  std::int64_t best_epoch_ = 0;
  Json history_ = Json::array();
};

Training::Training(TrainOptions options) : options_(std::move(options)) {
  check_options(options_);
  device_ = select_device(options_.device);
  karyon::TensorFile checkpoint;
  if (options_.resume) {
    const std::filesystem::path file = checkpoint_file(*options_.resume);
    checkpoint = karyon::load_safetensors(file);
    const auto found = checkpoint.metadata.find("nuclei.options");
    if (found == checkpoint.metadata.end())
      throw Failure(file.string() + ": is not a checkpoint of nuclei train; expected RUN/last.ckpt");
    try {
      const Json saved = Json::parse(found->second);
      if (options_.data.empty()) options_.data = saved.at("data").get<std::string>();
      if (options_.out.empty()) options_.out = file.parent_path().empty() ? "." : file.parent_path();
      if (!options_.epochs) options_.epochs = saved.at("epochs").get<std::int64_t>();
      options_.crop = saved.at("crop");
      options_.batch_size = saved.at("batch_size");
      if (const auto init = saved.value("init", ""); !init.empty()) options_.init = init;
      options_.base_width = saved.at("base_width");
      options_.depth = saved.at("depth");
      options_.lr = saved.at("lr");
      options_.seed = saved.at("seed");
      options_.validation = saved.at("validation");
      options_.folds = saved.value("folds", 0);
      options_.fold = saved.value("fold", 0);
      options_.patience = saved.value("patience", std::int64_t{0});
      options_.validate_every = saved.value("validate_every", std::int64_t{1});
      options_.limit = saved.at("limit");
      options_.precision = saved.value("precision", "f32");
    } catch (const Json::exception& e) {
      throw Failure(file.string() + ": damaged checkpoint: " + e.what());
    }
  }
  check_options(options_);  // what a checkpoint says as well
  if (options_.data.empty())
    throw UsageError("--data: say where the images are (a folder in the Data Science Bowl layout)");
  if (options_.out.empty()) throw UsageError("--out: say where the run's files go");
  const std::filesystem::path resumed = options_.resume ? checkpoint_file(*options_.resume) : "";
  std::error_code ignored;
  const bool in_place = options_.resume && std::filesystem::equivalent(resumed, checkpoint_path(), ignored);
  if (!in_place && std::filesystem::exists(checkpoint_path()))
    throw Failure(options_.out.string() + " already holds a run: go on with --resume " +
                  options_.out.string() + ", or choose another --out");
  std::unique_ptr<karyon::UNet> initial;
  if (options_.init && !options_.resume) {
    Segmenter begin = initial_model(options_);
    initial = std::move(begin.model);
    thresholds_ = begin.thresholds;
  }
  load_data();
  std::error_code error;
  std::filesystem::create_directories(options_.out, error);
  if (error) throw Failure(options_.out.string() + ": cannot create the folder: " + error.message());

  karyon::manual_seed(options_.seed);
  model_ = initial ? std::move(initial) : std::make_unique<karyon::UNet>(network(options_));
  average_ = std::make_unique<karyon::UNet>(network(options_));
  average_->load_state_dict(model_->state_dict());
  for (auto* model : {model_.get(), average_.get()}) model->to(device_);
  average_->requires_grad_(false);
  average_->eval();
  optimizer_ = std::make_unique<karyon::AdamW>(model_->parameters(),
                                               karyon::AdamWOptions{.lr = options_.lr, .weight_decay = 1e-3});
  epochs_ = options_.epochs ? *options_.epochs : options_.max_minutes ? epochs_that_fit() : 40;
  // A line up over the first twentieth of the steps, then a cosine down to a hundredth of the rate.
  const std::int64_t steps = epochs_ * loader_->size();
  schedule_ = std::make_unique<karyon::CosineLR>(
      *optimizer_,
      karyon::CosineLROptions{.total_steps = steps, .warmup_steps = steps / 20, .min_lr = options_.lr / 100});
  if (options_.resume) {
    resume_from(checkpoint);
    if (const auto best = resumed.parent_path() / "model.safetensors";
        !in_place && std::filesystem::exists(best))
      std::filesystem::copy_file(best, model_path());
  }
}

void Training::load_data() {
  std::vector<Sample> samples = scan_bowl(options_.data, true);
  if (options_.limit > 0 && static_cast<std::size_t>(options_.limit) < samples.size()) {
    std::vector<Sample> some;
    for (std::int64_t i = 0; i < options_.limit; ++i)
      some.push_back(
          samples[static_cast<std::size_t>(i) * samples.size() / static_cast<std::size_t>(options_.limit)]);
    samples = std::move(some);
  }
  std::vector<Example> examples = read_examples(samples, "reading");
  if (StopOnSignal::signal()) throw Stopped("stopped while reading the images; nothing was written");
  std::vector<ImageStats> stats;
  std::vector<Modality> modalities;
  for (const Example& e : examples) {
    stats.push_back(image_stats(e.image));
    modalities.push_back(modality(stats.back()));
  }
  const std::vector<int> groups = group_by_similarity(stats);
  const Split split =
      options_.folds > 0
          ? hold_out_fold(split_folds(groups, modalities, options_.folds, options_.seed), options_.fold - 1)
          : split_validation(groups, modalities, options_.validation, options_.seed);
  if (!split.warning.empty()) std::fprintf(stderr, "warning: %s\n", split.warning.c_str());
  std::vector<const char*> set(examples.size(), "train");
  for (std::size_t i : split.validation) set[i] = "validation";
  split_csv_ = "image,group,modality,set\n";
  for (std::size_t i = 0; i < examples.size(); ++i)
    split_csv_ += csv_field(examples[i].id) + ',' + std::to_string(groups[i]) + ',' + name(modalities[i]) +
                  ',' + set[i] + '\n';
  fingerprint_ = std::to_string(std::hash<std::string>{}(split_csv_));
  std::vector<Example> training;
  for (std::size_t i : split.train) training.push_back(std::move(examples[i]));
  for (std::size_t i : split.validation) validation_.push_back(std::move(examples[i]));
  std::fprintf(stderr, "%zu images in %d groups: %zu to train on, %zu in held-out groups to validate on\n",
               examples.size(), groups.empty() ? 0 : *std::max_element(groups.begin(), groups.end()) + 1,
               training.size(), validation_.size());
  crops_ = std::make_unique<CropDataset>(training, AugmentOptions{.crop = options_.crop});
  loader_ = std::make_unique<karyon::DataLoader>(
      *crops_, karyon::DataLoaderOptions{.batch_size = std::min(options_.batch_size, crops_->size()),
                                         .shuffle = true,
                                         .drop_last = true,
                                         .workers = karyon::num_threads() > 1 ? 1 : 0,
                                         .seed = options_.seed});
}

// Times a few steps of a network of the same size, which is thrown away.
std::int64_t Training::epochs_that_fit() {
  karyon::UNet probe(network(options_));
  probe.to(device_);
  karyon::AdamW optimizer(probe.parameters());
  double seconds = 0;
  for (int i = 0; i < 4; ++i) {
    karyon::DataLoader::Epoch epoch = loader_->epoch(0);
    karyon::Batch batch = *epoch.next();
    for (Tensor& x : batch) x = x.to(device_);
    const auto begin = Clock::now();
    loss_of(probe, batch, options_).backward();
    optimizer.step();
    optimizer.zero_grad();
    const double time = std::chrono::duration<double>(Clock::now() - begin).count();
    if (i > 0) seconds = i == 1 ? time : std::min(seconds, time);
  }
  double validation_pixels = 0;
  for (const Example& e : validation_)
    validation_pixels += static_cast<double>(e.image.width) * e.image.height;
  const double batch_pixels =
      static_cast<double>(loader_->options().batch_size * options_.crop * options_.crop);
  // A forward pass alone takes about a third of a step; the margin is for crops, disks and neighbours.
  const double epoch_seconds =
      1.2 * seconds * (static_cast<double>(loader_->size()) + validation_pixels / batch_pixels / 3);
  const double left = *options_.max_minutes * 60 - minutes() * 60;
  const auto epochs = static_cast<std::int64_t>(std::clamp(left / epoch_seconds, 1.0, 200.0));
  std::fprintf(stderr, "%s per epoch: planning %lld epochs for %s minutes (--epochs overrides)\n",
               format_duration(epoch_seconds).c_str(), static_cast<long long>(epochs),
               fixed(*options_.max_minutes, 1).c_str());
  return epochs;
}

void Training::resume_from(const karyon::TensorFile& checkpoint) {
  karyon::StateDict model, average, optimizer;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.starts_with("average.")) average.emplace(name.substr(8), tensor);
    if (name.starts_with("model.")) model.emplace(name.substr(6), tensor);
    if (name.starts_with("optimizer.")) optimizer.emplace(name.substr(10), tensor);
  }
  model_->load_state_dict(model);
  average_->load_state_dict(average);
  optimizer_->load_state_dict(optimizer);
  try {
    const Json state = Json::parse(checkpoint.metadata.at("nuclei.state"));
    epoch_ = state.at("epoch");
    batch_ = state.at("batch");
    loss_sum_ = state.at("loss_sum");
    best_ = state.at("best");
    best_epoch_ = state.value("best_epoch", epoch_);
    if (state.at("fingerprint") != fingerprint_)
      throw Failure(options_.data.string() +
                    ": not the images that this run began with (or split otherwise); give them with --data, "
                    "or start a new run");
    history_ = state.at("history");
    thresholds_ = thresholds_from(state.at("thresholds"));
  } catch (const Json::exception& e) {
    throw Failure(std::string("--resume: damaged checkpoint: ") + e.what());
  } catch (const std::out_of_range&) {
    throw Failure("--resume: damaged checkpoint: it holds no state");
  }
}

void Training::save_checkpoint() const {
  karyon::TensorFile file;
  for (const auto& [name, tensor] : model_->state_dict()) file.tensors.emplace("model." + name, tensor);
  for (const auto& [name, tensor] : average_->state_dict()) file.tensors.emplace("average." + name, tensor);
  for (const auto& [name, tensor] : optimizer_->state_dict())
    file.tensors.emplace("optimizer." + name, tensor);
  const Json state = {{"epoch", epoch_},
                      {"batch", batch_},
                      {"loss_sum", loss_sum_},
                      {"best", best_},
                      {"best_epoch", best_epoch_},
                      {"history", history_},
                      {"fingerprint", fingerprint_},
                      {"thresholds", to_text(thresholds_)}};
  file.metadata = {{"nuclei.options", dump(to_json(options_, epochs_))}, {"nuclei.state", dump(state)}};
  karyon::save_safetensors(checkpoint_path(), file);
}

bool Training::train_epoch() {
  model_->train();
  const std::int64_t batches = loader_->size();
  const auto parameters = model_->parameters();
  Progress progress("epoch " + std::to_string(epoch_ + 1) + "/" + std::to_string(epochs_), batches);
  karyon::DataLoader::Epoch epoch = loader_->epoch(static_cast<std::uint64_t>(epoch_), batch_);
  while (std::optional<karyon::Batch> batch = epoch.next()) {
    for (Tensor& x : *batch) x = x.to(device_);
    optimizer_->set_lr(schedule_->lr_at(epoch_ * batches + batch_));
    optimizer_->zero_grad();
    const Tensor loss = loss_of(*model_, *batch, options_);
    const auto value = loss.item<double>();
    if (!std::isfinite(value))
      throw Failure("training: the loss became " + std::to_string(value) + " in epoch " +
                    std::to_string(epoch_ + 1) + "; try a smaller --lr (now " + std::to_string(options_.lr) +
                    ")");
    loss.backward();
    if (!std::isfinite(karyon::clip_grad_norm_(parameters, 5)))
      throw Failure("training: the gradient became infinite in epoch " + std::to_string(epoch_ + 1) +
                    "; try a smaller --lr (now " + std::to_string(options_.lr) + ")");
    optimizer_->step();
    karyon::lerp_state_(*average_, *model_, average_share(epoch_ * batches + batch_));
    loss_sum_ += value;
    ++batch_;
    progress.update(batch_, "loss " + fixed(loss_sum_ / static_cast<double>(batch_), 4));
    if (time_is_up() && batch_ < batches) return false;
  }
  return true;
}

bool Training::validate(double seconds) {
  const bool due = (epoch_ + 1) % options_.validate_every == 0 || epoch_ + 1 == epochs_ || time_is_up();
  Evaluation evaluation;
  double loss = 0;
  std::optional<Progress> progress;
  if (due && !validation_.empty())
    progress.emplace("validating", static_cast<std::int64_t>(validation_.size()));
  for (const Example& e : validation_) {
    if (!due) break;
    const auto begin = Clock::now();
    const PixelMaps maps = predict_maps(*average_, e.image);
    const LabelMap found = segment(maps, thresholds_);
    evaluation.add(e, found, std::chrono::duration<double>(Clock::now() - begin).count());
    double sum = 0;
    for (std::size_t i = 0; i < maps.pixels(); ++i) {
      const float p = maps.pixel(i)[nucleus_map];
      sum -= std::log(std::max(1e-7, static_cast<double>(e.truth[i] > 0 ? p : 1 - p)));
    }
    loss += sum / static_cast<double>(maps.pixels());
    progress->update(static_cast<std::int64_t>(evaluation.images().size()));
    if (StopOnSignal::signal()) return false;
  }
  if (progress) progress->finish();
  const std::vector<Scores> scores = evaluation.scores();
  if (due) evaluation_ = std::move(evaluation);
  ++epoch_;
  const bool any = !scores.empty();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EpochMetrics m{.epoch = epoch_,
                 .train_loss = loss_sum_ / static_cast<double>(std::max<std::int64_t>(batch_, 1)),
                 .validation_loss = any ? loss / static_cast<double>(scores.size()) : nan,
                 .scores = any ? mean(scores) : Scores{.accuracy = nan, .iou = nan, .dice = nan, .bowl = nan},
                 .lr = optimizer_->lr(),
                 .seconds = seconds};
  history_.push_back(to_json(m));
  std::string line = "epoch " + std::to_string(epoch_) + '/' + std::to_string(epochs_) + "  train loss " +
                     fixed(m.train_loss, 4);
  if (any)
    line += "  val loss " + fixed(m.validation_loss, 4) + "  accuracy " + percent(m.scores.accuracy, 2) +
            "  IoU " + fixed(m.scores.iou, 4) + "  Dice " + fixed(m.scores.dice, 4) + "  DSB " +
            fixed(m.scores.bowl, 4);
  std::fprintf(stderr, "%s\n", line.c_str());
  // Nuclei found count as much as pixels covered.
  const double quality = any ? m.scores.bowl + m.scores.dice : static_cast<double>(epoch_);
  if ((any || validation_.empty()) && quality > best_) {
    best_ = quality;
    best_epoch_ = epoch_;
    save_model(*average_, epoch_, scores, thresholds_);
  }
  return true;
}

void Training::save_model(const karyon::UNet& model, std::int64_t epoch, const std::vector<Scores>& scores,
                          const SegmentOptions& thresholds) const {
  Json settings = to_json(options_, epochs_);
  settings.erase("data");  // where it lay is nobody's business whom the model is passed on to
  std::map<std::string, std::string> metadata{{"nuclei.options", dump(settings)},
                                              {"nuclei.epoch", std::to_string(epoch)},
                                              {thresholds_key, to_text(thresholds)}};
  if (!scores.empty()) {
    const Scores all = mean(scores);
    metadata["nuclei.validation"] = Json{
        {"images", scores.size()},
        {"accuracy", all.accuracy},
        {"iou", all.iou},
        {"dice", all.dice},
        {"bowl", all.bowl}}.dump();
  }
  karyon::save_unet(model, model_path(), metadata);
}

// The kept model's thresholds, fitted to the validation images; false if it was stopped.
bool Training::tune() {
  if (validation_.empty()) return true;
  Segmenter best(model_path(), device_);
  std::vector<PixelMaps> maps;
  std::vector<LabelMap> truth;
  Progress progress("fitting thresholds", static_cast<std::int64_t>(validation_.size()));
  for (const Example& e : validation_) {
    maps.push_back(predict_maps(*best.model, e.image));
    truth.push_back(e.truth);
    progress.update(static_cast<std::int64_t>(maps.size()));
    if (StopOnSignal::signal()) return false;
  }
  progress.finish();
  const SegmentOptions fitted = tune_thresholds(maps, truth);
  evaluation_ = Evaluation();
  for (std::size_t i = 0; i < maps.size(); ++i) evaluation_.add(validation_[i], segment(maps[i], fitted));
  const Scores all = mean(evaluation_.scores());
  std::fprintf(stderr, "thresholds %s: accuracy %s  IoU %s  Dice %s  DSB %s\n", to_text(fitted).c_str(),
               percent(all.accuracy, 2).c_str(), fixed(all.iou, 4).c_str(), fixed(all.dice, 4).c_str(),
               fixed(all.bowl, 4).c_str());
  save_model(*best.model, best_epoch_, evaluation_.scores(), fitted);
  write_report();
  return true;
}

void Training::write_report() const {
  ReportPage page{.title = "Training",
                  .subject = options_.out.string() + ": epoch " + std::to_string(epoch_) + " of " +
                             std::to_string(epochs_) + ", scored on " + std::to_string(validation_.size()) +
                             " held-out images of " + options_.data.string(),
                  .metrics_csv = metrics_csv(history_)};
  const Json settings = to_json(options_, epochs_);
  for (const auto& [name, value] : settings.items())
    page.configuration.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  double training = 0, finding = 0;
  for (const Json& row : history_) training += row.back().get<double>();
  for (const ImageScores& image : evaluation_.images()) finding += image.seconds;
  page.timing = {{"training, all epochs", format_duration(training)},
                 {"training, one epoch",
                  format_duration(training / static_cast<double>(std::max<std::size_t>(history_.size(), 1)))},
                 {"finding nuclei in the held-out images", format_duration(finding)},
                 {"threads", std::to_string(karyon::num_threads())}};
  write_file_atomically(options_.out / "report.html", html_report(page, evaluation_, baselines_));
}

bool Training::run() {
  const auto model_info = "U-Net with " + std::to_string([this] {
                            std::int64_t n = 0;
                            for (const Tensor& p : model_->parameters()) n += p.numel();
                            return n;
                          }()) +
                          " parameters";
  std::fprintf(stderr,
               "%s, %lld epochs of %lld steps, batches of %lld crops of %lld x %lld, %s, %d threads\n",
               model_info.c_str(), static_cast<long long>(epochs_), static_cast<long long>(loader_->size()),
               static_cast<long long>(loader_->options().batch_size), static_cast<long long>(options_.crop),
               static_cast<long long>(options_.crop), options_.precision.c_str(), karyon::num_threads());
  if (epoch_ >= epochs_)
    std::fprintf(stderr, "all %lld epochs are done; --epochs asks for more\n",
                 static_cast<long long>(epochs_));
  // From here on there is something to resume, and what a break before cut off is made good.
  save_checkpoint();
  write_file_atomically(options_.out / "split.csv", split_csv_);
  if (!history_.empty()) write_file_atomically(options_.out / "metrics.csv", metrics_csv(history_));
  for (const Example& e : validation_) baselines_.add(e);
  bool stopped = false;
  while (epoch_ < epochs_ && !stopped) {
    const auto begin = Clock::now();
    stopped = !train_epoch();
    save_checkpoint();
    if (!stopped) stopped = !validate(std::chrono::duration<double>(Clock::now() - begin).count());
    if (!stopped) {
      batch_ = 0;
      loss_sum_ = 0;
      save_checkpoint();
      write_file_atomically(options_.out / "metrics.csv", metrics_csv(history_));
      write_report();
      if (options_.patience > 0 && epoch_ - best_epoch_ >= options_.patience && epoch_ < epochs_) {
        std::fprintf(stderr, "no better score for %lld epochs: this is enough\n",
                     static_cast<long long>(options_.patience));
        break;
      }
      stopped = time_is_up() && epoch_ < epochs_;
    }
  }
  if (!stopped) stopped = !tune();
  if (stopped)
    std::fprintf(stderr, "stopped after %s in epoch %lld of %lld; go on with: nuclei train --resume %s\n",
                 format_duration(minutes() * 60).c_str(),
                 static_cast<long long>(std::min(epoch_ + 1, epochs_)), static_cast<long long>(epochs_),
                 options_.out.string().c_str());
  if (std::filesystem::exists(model_path()))
    std::fprintf(stderr, "best model: %s\n", model_path().string().c_str());
  else
    std::fprintf(stderr, "no epoch was finished, so there is no %s yet\n", model_path().string().c_str());
  return !stopped;
}

}  // namespace

bool train(const TrainOptions& options) {
  if (options.folds == 0 || options.fold > 0 || options.resume) return Training(options).run();
  check_options(options);
  return train_folds(options);
}

}  // namespace nuclei
