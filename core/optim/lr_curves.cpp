#include <algorithm>
#include <cmath>
#include <numbers>

#include <karyon/core/optim/lr_curves.h>

namespace karyon {
namespace {

// The part of `total` that has passed, at most 1.
double part_of(std::int64_t steps, std::int64_t total) {
  return static_cast<double>(std::min(steps, total)) / static_cast<double>(total);
}

void check_count(const char* name, const char* option, std::int64_t count) {
  check(count >= 1, name, ": expects ", option, " of 1 or more, got ", count);
}

const std::vector<double>& bases_of(const char* name, const std::vector<const Schedule*>& parts) {
  check(!parts.empty() && std::find(parts.begin(), parts.end(), nullptr) == parts.end(), name,
        ": expects at least one schedule");
  return parts.front()->base_lrs();
}

}  // namespace

LambdaLR::LambdaLR(Optimizer& optimizer, std::function<double(std::int64_t)> lambda)
    : Schedule(optimizer), lambda_(std::move(lambda)) {
  check(lambda_ != nullptr, "LambdaLR: expects a function");
  apply();
}

double LambdaLR::rate(std::int64_t steps, double base_lr) const { return base_lr * lambda_(steps); }

MultiStepLR::MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options)
    : Schedule(optimizer), options_(options) {
  check(std::is_sorted(options.milestones.begin(), options.milestones.end()),
        "MultiStepLR: expects milestones that do not fall");
  check(options.gamma >= 0, "MultiStepLR: expects gamma >= 0, got ", options.gamma);
  apply();
}

double MultiStepLR::rate(std::int64_t steps, double base_lr) const {
  const auto& m = options_.milestones;
  const auto passed = std::upper_bound(m.begin(), m.end(), steps) - m.begin();
  return base_lr * std::pow(options_.gamma, static_cast<double>(passed));
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options)
    : Schedule(optimizer), options_(options) {
  check(options.gamma >= 0, "ExponentialLR: expects gamma >= 0, got ", options.gamma);
  apply();
}

double ExponentialLR::rate(std::int64_t steps, double base_lr) const {
  return base_lr * std::pow(options_.gamma, static_cast<double>(steps));
}

PolynomialLR::PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options)
    : Schedule(optimizer), options_(options) {
  check_count("PolynomialLR", "total_iters", options.total_iters);
  check(options.power >= 0, "PolynomialLR: expects power >= 0, got ", options.power);
  apply();
}

double PolynomialLR::rate(std::int64_t steps, double base_lr) const {
  return base_lr * std::pow(1 - part_of(steps, options_.total_iters), options_.power);
}

LinearLR::LinearLR(Optimizer& optimizer, const LinearLROptions& options)
    : Schedule(optimizer), options_(options) {
  check_count("LinearLR", "total_iters", options.total_iters);
  check(options.start_factor > 0 && options.start_factor <= 1,
        "LinearLR: expects a start_factor in (0, 1], got ", options.start_factor);
  check(options.end_factor >= 0 && options.end_factor <= 1, "LinearLR: expects an end_factor in [0, 1], got ",
        options.end_factor);
  apply();
}

double LinearLR::rate(std::int64_t steps, double base_lr) const {
  const auto& o = options_;
  return base_lr * (o.start_factor + (o.end_factor - o.start_factor) * part_of(steps, o.total_iters));
}

ConstantLR::ConstantLR(Optimizer& optimizer, const ConstantLROptions& options)
    : Schedule(optimizer), options_(options) {
  check(options.total_iters >= 0, "ConstantLR: expects total_iters >= 0, got ", options.total_iters);
  check(options.factor >= 0 && options.factor <= 1, "ConstantLR: expects a factor in [0, 1], got ",
        options.factor);
  apply();
}

double ConstantLR::rate(std::int64_t steps, double base_lr) const {
  return steps < options_.total_iters ? base_lr * options_.factor : base_lr;
}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer,
                                                         const CosineAnnealingWarmRestartsOptions& options)
    : Schedule(optimizer), options_(options) {
  check_count("CosineAnnealingWarmRestarts", "t_0", options.t_0);
  check_count("CosineAnnealingWarmRestarts", "t_mult", options.t_mult);
  check(options.min_lr >= 0, "CosineAnnealingWarmRestarts: expects min_lr >= 0, got ", options.min_lr);
  apply();
}

double CosineAnnealingWarmRestarts::rate(std::int64_t steps, double base_lr) const {
  std::int64_t cycle = options_.t_0;
  if (options_.t_mult == 1) {
    steps %= cycle;
  } else {
    for (; steps >= cycle; cycle *= options_.t_mult) steps -= cycle;
  }
  const double low = options_.min_lr;
  return low + (base_lr - low) / 2 * (1 + std::cos(std::numbers::pi * part_of(steps, cycle)));
}

SequentialLR::SequentialLR(Optimizer& optimizer, std::vector<const Schedule*> parts,
                           std::vector<std::int64_t> milestones)
    : Schedule(optimizer, bases_of("SequentialLR", parts)),
      parts_(std::move(parts)),
      milestones_(std::move(milestones)) {
  check(milestones_.size() + 1 == parts_.size(), "SequentialLR: expects one milestone fewer than the ",
        parts_.size(), " schedules, got ", milestones_.size());
  std::int64_t before = 0;
  for (const std::int64_t milestone : milestones_) {
    check(milestone > before, "SequentialLR: expects milestones that rise from 1 on, got ", milestone,
          " after ", before);
    before = milestone;
  }
  apply();
}

double SequentialLR::rate(std::int64_t steps, double base_lr) const {
  const auto next = std::upper_bound(milestones_.begin(), milestones_.end(), steps);
  const auto part = static_cast<std::size_t>(next - milestones_.begin());
  return parts_[part]->rate(part == 0 ? steps : steps - milestones_[part - 1], base_lr);
}

ChainedScheduler::ChainedScheduler(Optimizer& optimizer, std::vector<const Schedule*> parts)
    : Schedule(optimizer, bases_of("ChainedScheduler", parts)), parts_(std::move(parts)) {
  apply();
}

double ChainedScheduler::rate(std::int64_t steps, double base_lr) const {
  for (const Schedule* part : parts_) base_lr = part->rate(steps, base_lr);
  return base_lr;
}

}  // namespace karyon
