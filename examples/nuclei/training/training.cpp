#include "training/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

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
#include "training/checkpoint.h"
#include "training/crop_dataset.h"
#include "training/training_data.h"
#include "training/tune.h"

namespace nuclei {
namespace {

using karyon::Tensor;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// Cross entropy of all maps. The two maps that answer yes or no add the overlap of areas (Dice), in which the
// few pixels of borders and of sparse pictures count as much as those of other pictures.
Tensor loss_of(karyon::UNet& model, const karyon::Batch& batch, const TrainOptions& o) {
  const karyon::AutocastGuard autocast(select_precision(o.precision));
  const Tensor logits = model(batch[0]);
  const Tensor& target = batch[1];
  const Tensor entropy = karyon::bce_with_logits(logits, target, {.weight = batch[2]});
  const Tensor overlap = karyon::dice_loss(karyon::split(logits, {2, map_count - 2}, -1)[0],
                                           karyon::split(target, {2, map_count - 2}, -1)[0]);
  return entropy * 2 + overlap;
}

// The share of a step's weights in their moving average. The average forgets weights that are older than a
// tenth of the training so far, or than 500 steps.
double average_share(std::int64_t step) { return std::max(0.002, 9 / (10 + static_cast<double>(step))); }

// The next batch of an epoch, on the device that computes.
template <class Batches>
std::optional<karyon::Batch> next_batch(Batches& batches, karyon::Device device) {
  std::optional<karyon::Batch> batch = batches.next();
  if (batch)
    for (Tensor& x : *batch) x = x.to(device);
  return batch;
}

// The mean cross entropy of the nucleus map.
double cross_entropy(const PixelMaps& maps, const LabelMap& truth) {
  double sum = 0;
  for (std::size_t i = 0; i < maps.pixels(); ++i) {
    const float p = maps.pixel(i)[nucleus_map];
    sum -= std::log(std::max(1e-7, static_cast<double>(truth[i] > 0 ? p : 1 - p)));
  }
  return sum / static_cast<double>(maps.pixels());
}

// A training run. A checkpoint holds all that changes with each step.
class Training {
 public:
  explicit Training(TrainOptions options);
  bool run();  // false if it was stopped

 private:
  struct Validation {
    Evaluation evaluation;
    double loss = 0;  // summed over the images
  };

  void check_folder() const;
  std::unique_ptr<karyon::UNet> initial_model();
  void load_images();
  void build(std::unique_ptr<karyon::UNet> initial);
  void plan_epochs();
  std::int64_t epochs_that_fit() const;
  void resume_from(const karyon::TensorFile& checkpoint);

  void announce() const;
  bool train_all();    // false if it was stopped
  bool train_epoch();  // false if it was stopped
  double train_step(const karyon::Batch& batch);
  bool validation_is_due() const;
  std::optional<Validation> validate() const;  // nothing if it was stopped
  void finish_epoch(std::optional<Validation> validation, double seconds);
  bool tune();  // false if it was stopped

  void save_checkpoint() { nuclei::save_checkpoint(checkpoint_path(), options_, epochs_, state_, trained()); }
  void save_model(const karyon::UNet& model, std::int64_t epoch, const std::vector<Scores>& scores,
                  const SegmentOptions& thresholds) const;
  void write_metrics() const {
    write_file_atomically(options_.out / "metrics.csv", metrics_csv(state_.history));
  }
  void write_report() const;
  void say_how_to_go_on(bool stopped) const;

  Trained trained() { return {*model_, *average_, *optimizer_}; }
  bool resumes_in_place() const;
  double minutes() const { return seconds_since(start_) / 60; }
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
  std::string split_csv_;
  Evaluation evaluation_;  // of the last epoch that was scored
  Baselines baselines_;
  std::unique_ptr<CropDataset> crops_;
  std::unique_ptr<karyon::DataLoader> loader_;
  std::unique_ptr<karyon::UNet> model_;
  std::unique_ptr<karyon::UNet> average_;  // of model_ over its last steps: what is validated and kept
  std::vector<Tensor> parameters_;         // of model_
  std::unique_ptr<karyon::AdamW> optimizer_;
  std::unique_ptr<karyon::CosineLR> schedule_;
  std::int64_t epochs_ = 0;
  TrainingState state_;
};

// ---- Before the first step

Training::Training(TrainOptions options) : options_(std::move(options)) {
  check_options(options_);
  device_ = select_device(options_.device);
  karyon::TensorFile checkpoint;
  if (options_.resume) {
    checkpoint = open_checkpoint(checkpoint_file(*options_.resume), options_);
    check_options(options_);
  }
  check_folder();
  std::unique_ptr<karyon::UNet> initial = initial_model();
  load_images();
  create_folder(options_.out);
  build(std::move(initial));
  plan_epochs();
  if (options_.resume) resume_from(checkpoint);
}

bool Training::resumes_in_place() const {
  std::error_code ignored;
  return options_.resume &&
         std::filesystem::equivalent(checkpoint_file(*options_.resume), checkpoint_path(), ignored);
}

void Training::check_folder() const {
  if (options_.data.empty())
    throw UsageError("--data: say where the images are (a folder in the Data Science Bowl layout)");
  if (options_.out.empty()) throw UsageError("--out: say where the run's files go");
  if (!resumes_in_place() && std::filesystem::exists(checkpoint_path()))
    throw Failure(options_.out.string() + " already holds a run: go on with --resume " +
                  options_.out.string() + ", or choose another --out");
}

// The model that --init names; the options learn its size. Null where the training begins with random
// weights.
std::unique_ptr<karyon::UNet> Training::initial_model() {
  if (!options_.init || options_.resume) return nullptr;
  Segmenter initial(model_file(*options_.init), karyon::Device::cpu());
  options_.base_width = initial.model->options.base_width;
  options_.depth = initial.model->options.depth;
  state_.thresholds = initial.thresholds;
  return std::move(initial.model);
}

void Training::load_images() {
  TrainingData data = load_data(options_);
  validation_ = std::move(data.validation);
  split_csv_ = std::move(data.split_csv);
  state_.fingerprint = std::move(data.fingerprint);
  crops_ = std::make_unique<CropDataset>(data.training, AugmentOptions{.crop = options_.crop});
  loader_ = std::make_unique<karyon::DataLoader>(
      *crops_, karyon::DataLoaderOptions{.batch_size = std::min(options_.batch_size, crops_->size()),
                                         .shuffle = true,
                                         .drop_last = true,
                                         .workers = karyon::num_threads() > 1 ? 1 : 0,
                                         .seed = options_.seed});
}

void Training::build(std::unique_ptr<karyon::UNet> initial) {
  karyon::manual_seed(options_.seed);
  model_ = initial ? std::move(initial) : std::make_unique<karyon::UNet>(network(options_));
  model_->to(device_);
  average_ = karyon::clone(*model_);
  average_->requires_grad_(false);
  average_->eval();
  parameters_ = model_->parameters();
  optimizer_ = std::make_unique<karyon::AdamW>(parameters_,
                                               karyon::AdamWOptions{.lr = options_.lr, .weight_decay = 1e-3});
}

void Training::plan_epochs() {
  epochs_ = options_.epochs ? *options_.epochs : options_.max_minutes ? epochs_that_fit() : 40;
  // The rate rises linearly over the first twentieth of the steps, then falls as a cosine to a hundredth.
  const std::int64_t steps = epochs_ * loader_->size();
  schedule_ = std::make_unique<karyon::CosineLR>(
      *optimizer_,
      karyon::CosineLROptions{.total_steps = steps, .warmup_steps = steps / 20, .min_lr = options_.lr / 100});
}

// Times a few steps of a network of the same size, which is thrown away.
std::int64_t Training::epochs_that_fit() const {
  karyon::UNet probe(network(options_));
  probe.to(device_);
  karyon::AdamW optimizer(probe.parameters());
  double seconds = 0;
  for (int i = 0; i < 4; ++i) {
    auto batches = loader_->epoch(0);
    const karyon::Batch batch = *next_batch(batches, device_);
    const auto begin = Clock::now();
    loss_of(probe, batch, options_).backward();
    optimizer.step();
    optimizer.zero_grad();
    const double time = seconds_since(begin);
    if (i > 0) seconds = i == 1 ? time : std::min(seconds, time);
  }
  double validation_pixels = 0;
  for (const Example& e : validation_)
    validation_pixels += static_cast<double>(e.image.width) * e.image.height;
  const double batch_pixels =
      static_cast<double>(loader_->options().batch_size * options_.crop * options_.crop);
  // A forward pass alone takes about a third of a step. The factor 1.2 leaves time for crops, files and other
  // programs.
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
  TrainingState saved = read_state(checkpoint, trained());
  if (saved.fingerprint != state_.fingerprint)
    throw Failure(options_.data.string() +
                  ": not the images that this run began with (or split otherwise); give them with --data, "
                  "or start a new run");
  state_ = std::move(saved);
  const auto best = checkpoint_file(*options_.resume).parent_path() / "model.safetensors";
  if (!resumes_in_place() && std::filesystem::exists(best)) std::filesystem::copy_file(best, model_path());
}

// ---- Training

bool Training::run() {
  announce();
  // From here on the run can be resumed. Files that an earlier break left incomplete are written again.
  save_checkpoint();
  write_file_atomically(options_.out / "split.csv", split_csv_);
  if (!state_.history.empty()) write_metrics();
  for (const Example& e : validation_) baselines_.add(e);
  const bool done = train_all() && tune();
  say_how_to_go_on(!done);
  return done;
}

void Training::announce() const {
  std::int64_t parameters = 0;
  for (const Tensor& p : parameters_) parameters += p.numel();
  std::fprintf(stderr,
               "U-Net with %lld parameters, %lld epochs of %lld steps, batches of %lld crops of %lld x %lld, "
               "%s, %d threads\n",
               static_cast<long long>(parameters), static_cast<long long>(epochs_),
               static_cast<long long>(loader_->size()), static_cast<long long>(loader_->options().batch_size),
               static_cast<long long>(options_.crop), static_cast<long long>(options_.crop),
               options_.precision.c_str(), karyon::num_threads());
  if (state_.epoch >= epochs_)
    std::fprintf(stderr, "all %lld epochs are done; --epochs asks for more\n",
                 static_cast<long long>(epochs_));
}

bool Training::train_all() {
  while (state_.epoch < epochs_) {
    const auto begin = Clock::now();
    const bool trained = train_epoch();
    save_checkpoint();
    if (!trained) return false;
    const double seconds = seconds_since(begin);
    std::optional<Validation> validation;
    if (validation_is_due() && !(validation = validate())) return false;
    finish_epoch(std::move(validation), seconds);
    save_checkpoint();
    write_metrics();
    write_report();
    if (state_.epoch == epochs_) break;
    if (options_.patience > 0 && state_.epoch - state_.best_epoch >= options_.patience) {
      std::fprintf(stderr, "no better score for %lld epochs: this is enough\n",
                   static_cast<long long>(options_.patience));
      break;
    }
    if (time_is_up()) return false;
  }
  return true;
}

bool Training::train_epoch() {
  model_->train();
  const std::int64_t size = loader_->size();
  Progress progress("epoch " + std::to_string(state_.epoch + 1) + "/" + std::to_string(epochs_), size);
  auto batches = loader_->epoch(static_cast<std::uint64_t>(state_.epoch), state_.batch);
  while (const std::optional<karyon::Batch> batch = next_batch(batches, device_)) {
    state_.loss_sum += train_step(*batch);
    ++state_.batch;
    progress.update(state_.batch, "loss " + fixed(state_.loss_sum / static_cast<double>(state_.batch), 4));
    if (time_is_up() && state_.batch < size) return false;
  }
  return true;
}

// The loss of the batch.
double Training::train_step(const karyon::Batch& batch) {
  const std::int64_t step = state_.epoch * loader_->size() + state_.batch;
  optimizer_->set_lr(schedule_->lr_at(step));
  optimizer_->zero_grad();
  const Tensor loss = loss_of(*model_, batch, options_);
  const auto value = loss.item<double>();
  const auto advice = [&] {
    return " in epoch " + std::to_string(state_.epoch + 1) + "; try a smaller --lr (now " +
           std::to_string(options_.lr) + ")";
  };
  if (!std::isfinite(value)) throw Failure("training: the loss became " + std::to_string(value) + advice());
  loss.backward();
  if (!std::isfinite(karyon::clip_grad_norm_(parameters_, 5)))
    throw Failure("training: the gradient became infinite" + advice());
  optimizer_->step();
  karyon::lerp_state_(*average_, *model_, average_share(step));
  return value;
}

// ---- After an epoch

bool Training::validation_is_due() const {
  const std::int64_t epoch = state_.epoch + 1;
  return epoch % options_.validate_every == 0 || epoch == epochs_ || time_is_up();
}

std::optional<Training::Validation> Training::validate() const {
  Validation result;
  if (validation_.empty()) return result;
  Progress progress("validating", static_cast<std::int64_t>(validation_.size()));
  for (const Example& e : validation_) {
    const auto begin = Clock::now();
    const PixelMaps maps = predict_maps(*average_, e.image);
    const LabelMap found = segment(maps, state_.thresholds);
    result.evaluation.add(e, found, seconds_since(begin));
    result.loss += cross_entropy(maps, e.truth);
    progress.update(static_cast<std::int64_t>(result.evaluation.images().size()));
    if (StopOnSignal::signal()) return {};
  }
  return result;
}

// Keeps the model if no epoch was better.
void Training::finish_epoch(std::optional<Validation> validation, double seconds) {
  std::vector<Scores> scores;
  EpochMetrics m{.epoch = state_.epoch + 1,
                 .train_loss = state_.loss_sum / static_cast<double>(std::max<std::int64_t>(state_.batch, 1)),
                 .lr = optimizer_->lr(),
                 .seconds = seconds};
  if (validation) {
    scores = validation->evaluation.scores();
    evaluation_ = std::move(validation->evaluation);
  }
  std::string line = "epoch " + std::to_string(m.epoch) + '/' + std::to_string(epochs_) + "  train loss " +
                     fixed(m.train_loss, 4);
  if (!scores.empty()) {
    const Scores all = mean(scores);
    m.validation_loss = validation->loss / static_cast<double>(scores.size());
    m.accuracy = all.accuracy;
    m.iou = all.iou;
    m.dice = all.dice;
    m.bowl = all.bowl;
    line += "  val loss " + fixed(m.validation_loss, 4) + "  accuracy " + percent(m.accuracy, 2) + "  IoU " +
            fixed(m.iou, 4) + "  Dice " + fixed(m.dice, 4) + "  DSB " + fixed(m.bowl, 4);
  }
  std::fprintf(stderr, "%s\n", line.c_str());
  state_.history.push_back(m);
  state_.epoch = m.epoch;
  state_.batch = 0;
  state_.loss_sum = 0;
  if (scores.empty() && !validation_.empty()) return;  // not scored
  // The Bowl score counts nuclei, Dice counts pixels. Without held-out images the last epoch is kept.
  const double quality = scores.empty() ? static_cast<double>(m.epoch) : m.bowl + m.dice;
  if (quality > state_.best) {
    state_.best = quality;
    state_.best_epoch = m.epoch;
    save_model(*average_, m.epoch, scores, state_.thresholds);
  }
}

void Training::save_model(const karyon::UNet& model, std::int64_t epoch, const std::vector<Scores>& scores,
                          const SegmentOptions& thresholds) const {
  Json saved = to_json(options_, epochs_);
  saved.erase("data");  // whoever gets the model need not know where the images lay
  std::map<std::string, std::string> metadata{{"nuclei.options", dump(saved)},
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
  save_model(*best.model, state_.best_epoch, evaluation_.scores(), fitted);
  write_report();
  return true;
}

void Training::write_report() const {
  ReportPage page{.title = "Training",
                  .subject = options_.out.string() + ": epoch " + std::to_string(state_.epoch) + " of " +
                             std::to_string(epochs_) + ", scored on " + std::to_string(validation_.size()) +
                             " held-out images of " + options_.data.string(),
                  .metrics_csv = metrics_csv(state_.history)};
  const Json decisive = to_json(options_, epochs_);
  for (const auto& [name, value] : decisive.items())
    page.configuration.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  double training = 0, finding = 0;
  for (const EpochMetrics& epoch : state_.history) training += epoch.seconds;
  for (const ImageScores& image : evaluation_.images()) finding += image.seconds;
  page.timing = {
      {"training, all epochs", format_duration(training)},
      {"training, one epoch",
       format_duration(training / static_cast<double>(std::max<std::size_t>(state_.history.size(), 1)))},
      {"finding nuclei in the held-out images", format_duration(finding)},
      {"threads", std::to_string(karyon::num_threads())}};
  write_file_atomically(options_.out / "report.html", html_report(page, evaluation_, baselines_));
}

void Training::say_how_to_go_on(bool stopped) const {
  if (stopped)
    std::fprintf(stderr, "stopped after %s in epoch %lld of %lld; go on with: nuclei train --resume %s\n",
                 format_duration(minutes() * 60).c_str(),
                 static_cast<long long>(std::min(state_.epoch + 1, epochs_)), static_cast<long long>(epochs_),
                 printable(options_.out.string()).c_str());
  if (std::filesystem::exists(model_path()))
    std::fprintf(stderr, "best model: %s\n", printable(model_path().string()).c_str());
  else
    std::fprintf(stderr, "no epoch was finished, so there is no %s yet\n",
                 printable(model_path().string()).c_str());
}

}  // namespace

bool train(const TrainOptions& options) {
  if (options.folds == 0 || options.fold > 0 || options.resume) return Training(options).run();
  check_options(options);
  return train_folds(options);
}

}  // namespace nuclei
