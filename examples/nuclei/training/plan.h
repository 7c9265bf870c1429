#pragma once

#include <cstdint>

namespace nuclei {

/// What the parts of a training take, seconds.
struct Costs {
  double step = 0;
  double validation = 0;  // of all held-out images
  double rest = 0;        // of an epoch: report, checkpoints
  double ending = 0;      // after the last epoch: the thresholds are fitted
};

/// Fits a training into a time. How many epochs that are is a guess at first. After each step the plan is
/// made anew, from what steps and validations really take. So the schedule of the learning rate always comes
/// to its end, and time is left for the thresholds. Where not even one epoch fits, the epoch is cut.
///
/// All times are seconds on one clock, which the caller reads.
class Plan {
 public:
  static constexpr std::int64_t most_epochs = 200;

  /// `end` is when the training is to be over.
  Plan(double end, std::int64_t steps_per_epoch, std::int64_t validate_every, const Costs& guess);

  /// Goes on with a schedule of which this share is done.
  void resume(double phase) { phase_ = phase; }

  /// An epoch begins, of which `steps_done` steps were made before a break. The first one has the number 0.
  void begin_epoch(std::int64_t epoch, std::int64_t steps_done, double now);
  /// A step was made. Returns whether the epoch goes on.
  bool step_done(double now);

  /// What the parts took.
  void validation_took(double seconds) { costs_.validation = seconds; }
  void rest_took(double seconds) { costs_.rest = seconds; }
  void ending_will_take(double seconds) { costs_.ending = seconds; }

  /// The share of the schedule that is done: 0 before the first step, 1 behind the last.
  double phase() const { return phase_; }
  /// The planned number of epochs, with those that are done.
  std::int64_t epochs() const { return epochs_; }
  double seconds_left(double now) const { return end_ - now; }
  /// What an epoch takes, all in all.
  double epoch_seconds() const;

 private:
  void plan(double now);
  double seconds_of(std::int64_t epochs) const;

  double end_;
  std::int64_t steps_per_epoch_, validate_every_;
  Costs costs_;
  double phase_ = 0, last_ = 0;                         // last_: when the step before was done
  std::int64_t timed_steps_ = 1;                        // the guess counts as one
  std::int64_t epoch_ = 0, epochs_ = 1;                 // the one that is trained; planned
  std::int64_t left_in_epoch_ = 0, planned_steps_ = 1;  // planned_steps_: all that are left
};

}  // namespace nuclei
