#include "training/plan.h"

#include <algorithm>
#include <cmath>

namespace nuclei {
namespace {

constexpr double spare = 1.02;                 // a plan takes a little longer than it says
constexpr std::int64_t remembered_steps = 30;  // over which the time of a step is averaged

}  // namespace

Plan::Plan(double end, std::int64_t steps_per_epoch, std::int64_t validate_every, const Costs& guess)
    : end_(end), steps_per_epoch_(steps_per_epoch), validate_every_(validate_every), costs_(guess) {}

void Plan::begin_epoch(std::int64_t epoch, std::int64_t steps_done, double now) {
  epoch_ = epoch;
  left_in_epoch_ = steps_per_epoch_ - steps_done;
  last_ = now;
  plan(now);
}

bool Plan::step_done(double now) {
  timed_steps_ = std::min(timed_steps_ + 1, remembered_steps);
  costs_.step += (now - last_ - costs_.step) / static_cast<double>(timed_steps_);
  last_ = now;
  phase_ = planned_steps_ <= 1 ? 1 : phase_ + (1 - phase_) / static_cast<double>(planned_steps_);
  --left_in_epoch_;
  plan(now);
  if (left_in_epoch_ > 0) return true;
  if (epochs_ == epoch_ + 1) phase_ = 1;  // the time is up
  return false;
}

double Plan::epoch_seconds() const {
  return static_cast<double>(steps_per_epoch_) * costs_.step + costs_.rest +
         costs_.validation / static_cast<double>(validate_every_);
}

/// What is left of this epoch, and the epochs behind it, take.
double Plan::seconds_of(std::int64_t epochs) const {
  const std::int64_t last = epoch_ + epochs;
  const std::int64_t validations =
      last / validate_every_ - epoch_ / validate_every_ + (last % validate_every_ != 0);
  const std::int64_t steps = left_in_epoch_ + (epochs - 1) * steps_per_epoch_;
  return static_cast<double>(steps) * costs_.step + static_cast<double>(epochs) * costs_.rest +
         static_cast<double>(validations) * costs_.validation;
}

void Plan::plan(double now) {
  const double left = (end_ - now - costs_.ending) / spare;
  std::int64_t epochs = 1;
  if (phase_ < 1)
    while (epoch_ + epochs < most_epochs && seconds_of(epochs + 1) <= left) ++epochs;
  epochs_ = epoch_ + epochs;
  if (epochs == 1 && left_in_epoch_ > 0 && seconds_of(1) > left) {
    const double steps = (left - costs_.rest - costs_.validation) / std::max(costs_.step, 1e-9);
    left_in_epoch_ =
        std::clamp(static_cast<std::int64_t>(std::max(steps, 0.0)), std::int64_t{0}, left_in_epoch_);
  }
  planned_steps_ = left_in_epoch_ + (epochs - 1) * steps_per_epoch_;
}

}  // namespace nuclei
