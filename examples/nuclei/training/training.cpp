#include "training/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <sstream>

#include <karyon/karyon.h>

#include "common/error.h"
#include "common/progress.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "common/text.h"
#include "evaluation/evaluation.h"
#include "evaluation/metrics.h"
#include "imageio/atomic_file.h"
#include "inference/segmenter.h"
#include "training/checkpoint.h"
#include "training/crop_dataset.h"
#include "training/plan.h"
#include "training/run_files.h"
#include "training/run_folder.h"
#include "training/step.h"
#include "training/training_data.h"
#include "training/tune.h"
#include "training/validation.h"

namespace nuclei {
namespace {

using karyon::Tensor;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t schedule_steps = 1'000'000;  // into which a plan's schedule is cut
constexpr double checkpoint_seconds = 600;          // after which a long epoch is saved, too

// A training run. A checkpoint holds all that changes with each step.
class Training {
 public:
  explicit Training(TrainOptions options);
  bool run();  // false if it was stopped

 private:
  std::unique_ptr<karyon::UNet> initial_model();
  void load_images();
  void build(std::unique_ptr<karyon::UNet> initial);
  void plan_epochs();
  void plan_to_fit();
  double learning_rate(std::int64_t step) const;
  void resume_from(const karyon::TensorFile& checkpoint);

  void announce() const;
  bool train_all();    // false if it was stopped
  bool train_epoch();  // false if it was stopped
  double train_step(const karyon::Batch& batch);
  bool validation_is_due() const;
  void learn_costs(const Validation& validation);
  void finish_epoch(std::optional<Validation> validation, double seconds);
  bool tune();  // false if it was stopped

  void save_checkpoint();
  void save_model(const karyon::UNet& model, const std::vector<Scores>& scores,
                  const SegmentOptions& thresholds) const;
  void write_metrics() const {
    if (Ranks::is_first()) write_file_atomically(options_.out / "metrics.csv", metrics_csv(state_.history));
  }
  void write_report() const;
  void say_how_to_go_on(bool stopped) const;
  SizeOptions size_options() const { return {.learned = diameter_, .typical = true}; }

  Trained trained() { return {*model_, *average_, *optimizer_}; }
  double elapsed() const { return seconds_since(start_); }
  // On the clock of rank 0, for what all ranks decide alike.
  double agreed_time() const { return Ranks::of_first(elapsed()); }
  // A plan ends by itself.
  bool time_is_up() const {
    return Ranks::any(StopOnSignal::signal() || (!plan_ && options_.max_minutes &&
                                                 elapsed() + ending_seconds_ >= *options_.max_minutes * 60));
  }
  std::filesystem::path checkpoint_path() const { return run_checkpoint(options_); }
  std::filesystem::path model_path() const { return options_.out / "model.safetensors"; }

  StopOnSignal stop_on_signal_;
  TrainOptions options_;
  bool epochs_given_;  // by the user
  Clock::time_point start_ = Clock::now();
  karyon::Device device_;
  std::vector<Example> validation_;
  double diameter_ = 0;  // the median of the nuclei to learn from, pixels
  std::string split_csv_;
  Evaluation evaluation_;  // of the last epoch that was scored
  Baselines baselines_;
  std::unique_ptr<CropDataset> crops_;
  std::unique_ptr<karyon::DataLoader> loader_;
  std::unique_ptr<karyon::UNet> model_;
  std::unique_ptr<karyon::UNet> average_;  // of model_ over its last steps: what is validated and kept
  std::vector<Tensor> parameters_;         // of model_
  std::unique_ptr<karyon::DistributedDataParallel> parallel_;
  std::unique_ptr<karyon::AdamW> optimizer_;
  std::unique_ptr<karyon::CosineLR> schedule_;
  std::int64_t epochs_ = 0;
  std::optional<Plan> plan_;   // where the time says how many epochs
  double ending_seconds_ = 0;  // what fitting the thresholds will take
  double saved_at_ = 0;        // elapsed()
  TrainingState state_;
};

std::string to_go_on(const std::filesystem::path& run) {
  return "go on, with as many processes as you like, by: nuclei train --resume " + run.string();
}

// ---- Before the first step

Training::Training(TrainOptions options)
    : options_(std::move(options)), epochs_given_(options_.epochs.has_value()) {
  check_options(options_);
  device_ = select_device(options_.device);
  karyon::TensorFile checkpoint;
  if (options_.resume) {
    checkpoint = open_checkpoint(checkpoint_file(*options_.resume), options_);
    check_options(options_);
  }
  if (options_.batch_size % Ranks::size() != 0)
    throw UsageError("--batch-size: expects a multiple of the " + std::to_string(Ranks::size()) +
                     " processes of this job, got " + std::to_string(options_.batch_size));
  check_run_folder(options_);
  std::unique_ptr<karyon::UNet> initial = initial_model();
  load_images();
  Ranks::group()->barrier();  // all have seen the folder as it was
  if (Ranks::is_first()) create_folder(options_.out);
  build(std::move(initial));
  if (options_.resume) resume_from(checkpoint);
  plan_epochs();
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
  std::vector<double> weights;
  for (const DataSet& set : options_.data) weights.push_back(set.weight);
  crops_ = std::make_unique<CropDataset>(
      data.training,
      AugmentOptions{.crop = options_.crop, .diameter = options_.diameter, .weights = weights});
  diameter_ = crops_->diameter();
  if (weights.size() > 1)
    for (std::size_t set = 0; set < weights.size(); ++set)
      std::fprintf(stderr, "%s: %lld crops an epoch\n", printable(options_.data[set].path.string()).c_str(),
                   static_cast<long long>(crops_->crops_of(set)));
  validation_ = std::move(data.validation);
  split_csv_ = std::move(data.split_csv);
  state_.fingerprint = std::move(data.fingerprint);
  const std::int64_t ranks = Ranks::size();
  if (crops_->size() < ranks)
    throw Failure(counted(static_cast<std::size_t>(crops_->size()), "crop") + " an epoch for " +
                  std::to_string(ranks) + " processes; start fewer");
  loader_ = std::make_unique<karyon::DataLoader>(
      *crops_, karyon::DataLoaderOptions{.batch_size = std::min(options_.batch_size, crops_->size()) / ranks,
                                         .shuffle = true,
                                         .drop_last = true,
                                         .workers = karyon::num_threads() > 1 ? 1 : 0,
                                         .seed = options_.seed,
                                         .num_replicas = ranks,
                                         .rank = Ranks::rank()});
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
  // Ranks share gradients and the statistics of norms: a step is the same, however many work on it.
  karyon::convert_sync_batchnorm(*model_, Ranks::group());
  parallel_ = std::make_unique<karyon::DistributedDataParallel>(
      *model_, Ranks::group(),
      karyon::DistributedDataParallelOptions{.compress_bf16 = options_.compress_gradients});
}

void Training::plan_epochs() {
  if (!epochs_given_ && (options_.resume ? state_.plan.has_value() : options_.max_minutes.has_value())) {
    plan_to_fit();
  } else {
    state_.plan.reset();
    epochs_ = options_.epochs.value_or(40);
  }
  // The rate rises linearly over the first twentieth of the steps, then falls as a cosine to a hundredth.
  const std::int64_t steps = plan_ ? schedule_steps : epochs_ * loader_->size();
  const double resumed_at = optimizer_->lr();
  optimizer_->set_lr(options_.lr);
  schedule_ = std::make_unique<karyon::CosineLR>(
      *optimizer_,
      karyon::CosineLROptions{.total_steps = steps, .warmup_steps = steps / 20, .min_lr = options_.lr / 100});
  if (options_.resume) optimizer_->set_lr(resumed_at);
}

// A run that is resumed has the time that was left, unless it gets another.
void Training::plan_to_fit() {
  const double now = agreed_time(),
               end = options_.max_minutes ? *options_.max_minutes * 60 : now + state_.plan->seconds_left;
  Costs costs = guess_costs(options_, *loader_, device_, validation_);
  Ranks::share(&costs, sizeof costs, 0);
  plan_.emplace(end, loader_->size(), options_.validate_every, costs);
  if (state_.plan) plan_->resume(state_.plan->phase);
  epochs_ = state_.epoch;
  if (plan_->phase() >= 1) return;
  plan_->begin_epoch(state_.epoch, state_.batch, agreed_time());
  epochs_ = plan_->epochs();
  std::fprintf(stderr, "%s per epoch: planning about %lld epochs for %s minutes (--epochs overrides)\n",
               format_duration(plan_->epoch_seconds()).c_str(), static_cast<long long>(epochs_),
               fixed(end / 60, 1).c_str());
}

double Training::learning_rate(std::int64_t step) const {
  return schedule_->lr_at(plan_ ? std::llround(plan_->phase() * schedule_steps) : step);
}

void Training::resume_from(const karyon::TensorFile& checkpoint) {
  const auto file = checkpoint_file(*options_.resume);
  TrainingState saved = read_state(file, checkpoint, trained());
  if (saved.fingerprint != state_.fingerprint)
    throw Failure(to_text(options_.data.front()) +
                  ": not the images that this run began with (or split otherwise); give them with --data, "
                  "or start a new run");
  if (saved.batch > loader_->size())
    throw Failure(file.string() + ": damaged: it is in batch " + std::to_string(saved.batch) + " of " +
                  std::to_string(loader_->size()));
  state_ = std::move(saved);
  const auto best = file.parent_path() / "model.safetensors";
  if (Ranks::is_first() && !resumes_in_place(options_) && std::filesystem::exists(best))
    std::filesystem::copy_file(best, model_path());
}

// ---- Training

bool Training::run() {
  announce();
  if (Ranks::is_first()) {
    remove_earlier_run(options_);
    karyon::remove_stale_files(options_.out);
  }
  // From here on the run can be resumed. Files that an earlier break left incomplete are written again.
  save_checkpoint();
  if (Ranks::is_first()) write_file_atomically(options_.out / "split.csv", split_csv_);
  if (!state_.history.empty()) write_metrics();
  for (const Example& e : validation_) baselines_.add(e);
  bool done = train_all();
  // Who set a time wants the best model that it gives, also where the run may go on.
  const bool fits = done || (options_.max_minutes && !StopOnSignal::signal() && state_.best_epoch > 0);
  if (fits && Ranks::is_first() && !tune()) done = false;
  say_how_to_go_on(!done);
  return done;
}

void Training::announce() const {
  std::int64_t parameters = 0;
  for (const Tensor& p : parameters_) parameters += p.numel();
  std::fprintf(
      stderr,
      "U-Net with %lld parameters, %lld epochs of %lld steps, batches of %lld crops of %lld x %lld, "
      "%s, %d threads%s\n",
      static_cast<long long>(parameters), static_cast<long long>(epochs_),
      static_cast<long long>(loader_->size()),
      static_cast<long long>(loader_->options().batch_size * Ranks::size()),
      static_cast<long long>(options_.crop), static_cast<long long>(options_.crop),
      options_.precision.c_str(), karyon::num_threads(),
      Ranks::size() > 1 ? (" in each of " + std::to_string(Ranks::size()) + " processes").c_str() : "");
  if (Ranks::size() > 1)
    std::fprintf(stderr, "after a break %s\n", printable(to_go_on(options_.out)).c_str());
  if (state_.epoch >= epochs_)
    std::fprintf(stderr, "all %lld epochs are done; --epochs asks for more\n",
                 static_cast<long long>(epochs_));
}

void Training::save_checkpoint() {
  saved_at_ = elapsed();
  if (!Ranks::is_first()) return;
  if (plan_) state_.plan = {.phase = plan_->phase(), .seconds_left = plan_->seconds_left(elapsed())};
  nuclei::save_checkpoint(checkpoint_path(), options_, epochs_, state_, trained());
}

bool Training::train_all() {
  while (state_.epoch < epochs_) {
    const double begin = agreed_time();
    if (plan_) plan_->begin_epoch(state_.epoch, state_.batch, begin);
    const bool trained = train_epoch();
    const double trained_at = agreed_time();
    save_checkpoint();
    if (!trained) return false;
    std::optional<Validation> validation;
    if (validation_is_due()) {
      validation = validate(*average_, validation_, state_.thresholds, size_options());
      if (!validation) return false;
      learn_costs(*validation);
    }
    const double validated_in = validation ? validation->seconds : 0;
    finish_epoch(std::move(validation), trained_at - begin);
    save_checkpoint();
    write_metrics();
    write_report();
    if (plan_) plan_->rest_took(agreed_time() - trained_at - validated_in);
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
  set_training(*model_, options_.init.has_value());
  const std::int64_t size = loader_->size();
  Progress progress("epoch " + std::to_string(state_.epoch + 1) + "/" + std::to_string(epochs_), size);
  auto batches = loader_->epoch(static_cast<std::uint64_t>(state_.epoch), state_.batch);
  while (const std::optional<karyon::Batch> batch = next_batch(batches, device_)) {
    state_.loss_sum += train_step(*batch);
    ++state_.batch;
    progress.update(state_.batch, "loss " + fixed(state_.loss_sum / static_cast<double>(state_.batch), 4));
    if (plan_) {
      const bool goes_on = plan_->step_done(agreed_time());
      epochs_ = plan_->epochs();
      if (!goes_on) return true;
    }
    if (time_is_up() && state_.batch < size) return false;
    if (elapsed() - saved_at_ > checkpoint_seconds) save_checkpoint();
  }
  return true;
}

// The loss of the batch.
double Training::train_step(const karyon::Batch& batch) {
  const std::int64_t step = state_.epoch * loader_->size() + state_.batch;
  optimizer_->set_lr(learning_rate(step));
  optimizer_->zero_grad();
  const Tensor loss = loss_of(*model_, batch, options_);
  const Tensor mean = loss.detach().clone();
  Ranks::group()->all_reduce(mean, karyon::distributed::ReduceOp::avg);
  const auto value = mean.item<double>();
  const auto advice = [&] {
    std::ostringstream text;
    text << " in epoch " << state_.epoch + 1 << "; try a smaller --lr (now " << options_.lr << ")";
    return text.str();
  };
  if (!std::isfinite(value)) throw Failure("training: the loss became " + std::to_string(value) + advice());
  loss.backward();
  if (!std::isfinite(karyon::clip_grad_norm_(parameters_, 5).item<double>()))
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

void Training::learn_costs(const Validation& validation) {
  if (validation_.empty()) return;
  ending_seconds_ =
      ending_seconds(validation.network, validation.seconds * Ranks::size() - validation.network);
  if (!plan_) return;
  plan_->validation_took(validation.seconds);
  plan_->ending_will_take(ending_seconds_);
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
    save_model(*average_, scores, state_.thresholds);
  }
}

void Training::save_model(const karyon::UNet& model, const std::vector<Scores>& scores,
                          const SegmentOptions& thresholds) const {
  if (!Ranks::is_first()) return;
  karyon::save_unet(model, model_path(),
                    model_metadata(options_, epochs_, state_.best_epoch, diameter_, scores, thresholds));
}

// The kept model's thresholds, fitted to the validation images; false if it was stopped.
bool Training::tune() {
  if (validation_.empty()) return true;
  Segmenter best(model_path(), device_);
  std::vector<Seen> seen;
  std::vector<LabelMap> truth;
  Progress progress("fitting thresholds", static_cast<std::int64_t>(validation_.size()));
  for (const Example& e : validation_) {
    seen.push_back(predict_maps(*best.model, e.image, false, size_options()));
    truth.push_back(e.truth);
    progress.update(static_cast<std::int64_t>(seen.size()));
    if (StopOnSignal::signal()) return false;
  }
  progress.finish();
  const SegmentOptions fitted = tune_thresholds(
      seen, truth, [&] { return options_.max_minutes && elapsed() >= *options_.max_minutes * 60; });
  evaluation_ = Evaluation();
  for (std::size_t i = 0; i < seen.size(); ++i) evaluation_.add(validation_[i], separate(seen[i], fitted));
  const Scores all = mean(evaluation_.scores());
  std::fprintf(stderr, "thresholds %s: accuracy %s  IoU %s  Dice %s  DSB %s\n", to_text(fitted).c_str(),
               percent(all.accuracy, 2).c_str(), fixed(all.iou, 4).c_str(), fixed(all.dice, 4).c_str(),
               fixed(all.bowl, 4).c_str());
  save_model(*best.model, evaluation_.scores(), fitted);
  write_report();
  return true;
}

void Training::write_report() const {
  if (!Ranks::is_first()) return;
  write_file_atomically(
      options_.out / "report.html",
      training_report(options_, epochs_, state_, validation_.size(), evaluation_, baselines_));
}

void Training::say_how_to_go_on(bool stopped) const {
  if (stopped)
    std::fprintf(stderr, "stopped after %s in epoch %lld of %lld; go on with: nuclei train --resume %s\n",
                 format_duration(elapsed()).c_str(),
                 static_cast<long long>(std::min(state_.epoch + 1, epochs_)), static_cast<long long>(epochs_),
                 printable(options_.out.string()).c_str());
  if (std::filesystem::exists(model_path()))
    std::fprintf(stderr, "best model: %s\n", printable(model_path().string()).c_str());
  else
    std::fprintf(stderr, "no epoch was finished, so there is no %s yet\n",
                 printable(model_path().string()).c_str());
}

}  // namespace

bool train(const TrainOptions& options) try {
  if (options.folds == 0 || options.fold > 0 || options.resume) return Training(options).run();
  if (Ranks::size() > 1)
    throw UsageError("--folds in a job of several processes: train one fold in each job, with --fold");
  check_options(options);
  return train_folds(options);
} catch (const karyon::distributed::RankLost& e) {
  const auto& run = options.out.empty() && options.resume ? *options.resume : options.out;
  throw karyon::distributed::RankLost(to_go_on(run), e.rank());
}

}  // namespace nuclei
