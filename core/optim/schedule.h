#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <karyon/core/optim/optimizer.h>

// Learning rate schedules, with PyTorch's formulas. Each sets the rates of the optimizer's groups in its
// constructor and in every step(); call step() after the optimizer's. The optimizer must outlive it.
// lr_curves.h has more, and schedules made of others.
namespace karyon {

/// A schedule that is a function of the number of steps. Each group of parameters begins at the rate that it
/// had when the schedule was made.
class Schedule {
 public:
  virtual ~Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  void step();
  /// Steps so far.
  std::int64_t steps() const { return steps_; }
  /// The rate of the first group after `steps` steps.
  double lr_at(std::int64_t steps) const { return rate(steps, base_lrs_.front()); }
  /// The rate after `steps` steps of a group that began at base_lr.
  virtual double rate(std::int64_t steps, double base_lr) const = 0;
  const std::vector<double>& base_lrs() const { return base_lrs_; }

  /// All that must be saved, as plain numbers; loading it sets the optimizer's rates.
  std::map<std::string, double> state() const;
  void load_state(const std::map<std::string, double>& state);

 protected:
  explicit Schedule(Optimizer& optimizer);
  /// Of a schedule that continues from the base rates of others.
  Schedule(Optimizer& optimizer, std::vector<double> base_lrs);
  /// For the end of a derived constructor.
  void apply();

 private:
  Optimizer* optimizer_;
  std::vector<double> base_lrs_;  // by group
  std::int64_t steps_ = 0;
};

struct StepLROptions {
  std::int64_t step_size = 30;
  double gamma = 0.1;
};
/// The rate times gamma after every step_size steps.
class StepLR : public Schedule {
 public:
  explicit StepLR(Optimizer& optimizer, const StepLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  StepLROptions options_;
};

struct CosineLROptions {
  std::int64_t total_steps = 100;  ///< the warm-up included
  std::int64_t warmup_steps = 0;
  double warmup_factor = 0.1;  ///< the warm-up rises from this part of the rate to the whole, in a line
  double min_lr = 0;
};
/// A line up, then half a cosine down to min_lr, where it stays: LinearLR, then CosineAnnealingLR.
class CosineLR : public Schedule {
 public:
  explicit CosineLR(Optimizer& optimizer, const CosineLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  CosineLROptions options_;
};

struct OneCycleLROptions {
  double max_lr = 1e-2;
  std::int64_t total_steps = 100;
  double pct_start = 0.3;         ///< the part of the steps that rises
  double div_factor = 25;         ///< it starts at max_lr / div_factor
  double final_div_factor = 1e4;  ///< and ends at the start / final_div_factor
};
/// Half a cosine up to max_lr and one down to almost nothing (Smith and Topin, 2018). The momentum is
/// left alone.
class OneCycleLR : public Schedule {
 public:
  explicit OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  OneCycleLROptions options_;
};

struct ReduceLROnPlateauOptions {
  bool maximize = false;  ///< larger values of the metric are better
  double factor = 0.1;
  std::int64_t patience = 10;
  double threshold = 1e-4;  ///< the relative improvement that counts
  std::int64_t cooldown = 0;
  double min_lr = 0;
};
/// The rate times `factor` once a metric has not improved for more than `patience` steps.
class ReduceLROnPlateau {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});
  void step(double metric);

  std::map<std::string, double> state() const;
  void load_state(const std::map<std::string, double>& state);

 private:
  Optimizer* optimizer_;
  ReduceLROnPlateauOptions options_;
  double best_;
  std::int64_t bad_steps_ = 0, cooldown_left_ = 0;
};

}  // namespace karyon
