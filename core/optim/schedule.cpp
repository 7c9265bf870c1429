#include <algorithm>
#include <cmath>
#include <numbers>

#include <karyon/core/optim/schedule.h>

namespace karyon {
namespace {

double entry(const std::map<std::string, double>& state, const std::string& key) {
  const auto it = state.find(key);
  check(it != state.end(), "load_state: expects '", key, "' of a schedule");
  return it->second;
}

std::int64_t count(const std::map<std::string, double>& state, const char* key) {
  const double value = entry(state, key);
  check(value >= 0 && value <= 1e15 && value == std::floor(value), "load_state: '", key,
        "' expects a count, got ", value);
  return static_cast<std::int64_t>(value);
}

/// From `start` at part 0 to `end` at part 1 along half a cosine.
double cosine(double start, double end, double part) {
  return end + (start - end) / 2 * (1 + std::cos(std::numbers::pi * part));
}

}  // namespace

namespace {

std::vector<double> rates(const Optimizer& optimizer) {
  std::vector<double> out;
  for (std::size_t g = 0; g < optimizer.groups(); ++g) out.push_back(optimizer.lr(g));
  return out;
}

// "lr", "lr.1", "lr.2", ...
std::string of_group(const char* key, std::size_t group) {
  return group == 0 ? key : key + ("." + std::to_string(group));
}

}  // namespace

Schedule::Schedule(Optimizer& optimizer) : Schedule(optimizer, rates(optimizer)) {}

Schedule::Schedule(Optimizer& optimizer, std::vector<double> base_lrs)
    : optimizer_(&optimizer), base_lrs_(std::move(base_lrs)) {}

void Schedule::apply() {
  for (std::size_t g = 0; g < base_lrs_.size(); ++g) optimizer_->set_lr(rate(steps_, base_lrs_[g]), g);
}

void Schedule::step() {
  ++steps_;
  apply();
}

std::map<std::string, double> Schedule::state() const {
  std::map<std::string, double> out{{"steps", static_cast<double>(steps_)}};
  for (std::size_t g = 0; g < base_lrs_.size(); ++g) out.emplace(of_group("base_lr", g), base_lrs_[g]);
  return out;
}

void Schedule::load_state(const std::map<std::string, double>& state) {
  const std::int64_t steps = count(state, "steps");
  std::vector<double> bases;
  for (std::size_t g = 0; g < base_lrs_.size(); ++g) {
    bases.push_back(entry(state, of_group("base_lr", g)));
    check(std::isfinite(bases[g]) && bases[g] >= 0, "load_state: expects base_lr >= 0, got ", bases[g]);
  }
  base_lrs_ = std::move(bases);
  steps_ = steps;
  apply();
}

StepLR::StepLR(Optimizer& optimizer, const StepLROptions& options) : Schedule(optimizer), options_(options) {
  check(options.step_size >= 1, "StepLR: expects a step_size of 1 or more, got ", options.step_size);
  check(options.gamma >= 0, "StepLR: expects gamma >= 0, got ", options.gamma);
  apply();
}

double StepLR::rate(std::int64_t steps, double base_lr) const {
  return base_lr * std::pow(options_.gamma, static_cast<double>(steps / options_.step_size));
}

CosineLR::CosineLR(Optimizer& optimizer, const CosineLROptions& options)
    : Schedule(optimizer), options_(options) {
  check(options.warmup_steps >= 0 && options.total_steps > options.warmup_steps,
        "CosineLR: expects more steps in all than for the warm-up, got ", options.total_steps, " and ",
        options.warmup_steps);
  check(options.warmup_factor >= 0 && options.warmup_factor <= 1,
        "CosineLR: expects a warmup_factor in [0, 1], got ", options.warmup_factor);
  check(options.min_lr >= 0, "CosineLR: expects min_lr >= 0, got ", options.min_lr);
  apply();
}

double CosineLR::rate(std::int64_t steps, double base_lr) const {
  const auto& o = options_;
  if (steps < o.warmup_steps) {
    const double part = static_cast<double>(steps) / static_cast<double>(o.warmup_steps);
    return base_lr * (o.warmup_factor + (1 - o.warmup_factor) * part);
  }
  const double part =
      static_cast<double>(steps - o.warmup_steps) / static_cast<double>(o.total_steps - o.warmup_steps);
  return cosine(base_lr, o.min_lr, std::min(part, 1.0));
}

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : Schedule(optimizer), options_(options) {
  check(options.total_steps >= 1, "OneCycleLR: expects total_steps of 1 or more, got ", options.total_steps);
  check(options.max_lr > 0, "OneCycleLR: expects max_lr > 0, got ", options.max_lr);
  check(options.pct_start >= 0 && options.pct_start <= 1, "OneCycleLR: expects pct_start in [0, 1], got ",
        options.pct_start);
  check(options.div_factor > 0 && options.final_div_factor > 0, "OneCycleLR: expects factors > 0, got ",
        options.div_factor, " and ", options.final_div_factor);
  apply();
}

double OneCycleLR::rate(std::int64_t steps, double) const {
  const auto& o = options_;
  const double start = o.max_lr / o.div_factor, end = start / o.final_div_factor;
  const double last = static_cast<double>(o.total_steps - 1);
  const double top = o.pct_start * static_cast<double>(o.total_steps) - 1;
  const double t = std::min(static_cast<double>(steps), last);
  if (t <= top) return cosine(start, o.max_lr, top > 0 ? t / top : 1);
  return cosine(o.max_lr, end, (t - top) / (last - top));
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(&optimizer),
      options_(options),
      best_(options.maximize ? -std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::infinity()) {
  check(options.factor > 0 && options.factor < 1, "ReduceLROnPlateau: expects a factor in (0, 1), got ",
        options.factor);
  check(options.patience >= 0 && options.cooldown >= 0,
        "ReduceLROnPlateau: expects patience and cooldown >= 0, got ", options.patience, " and ",
        options.cooldown);
  check(options.threshold >= 0 && options.min_lr >= 0,
        "ReduceLROnPlateau: expects threshold and min_lr >= 0, got ", options.threshold, " and ",
        options.min_lr);
}

void ReduceLROnPlateau::step(double metric) {
  const bool better = options_.maximize ? metric > best_ * (1 + options_.threshold)
                                        : metric < best_ * (1 - options_.threshold);
  if (better) {
    best_ = metric;
    bad_steps_ = 0;
  } else {
    ++bad_steps_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_steps_ = 0;
  }
  if (bad_steps_ <= options_.patience) return;
  for (std::size_t g = 0; g < optimizer_->groups(); ++g) {
    const double before = optimizer_->lr(g), after = std::max(before * options_.factor, options_.min_lr);
    if (before - after > 1e-8) optimizer_->set_lr(after, g);
  }
  cooldown_left_ = options_.cooldown;
  bad_steps_ = 0;
}

std::map<std::string, double> ReduceLROnPlateau::state() const {
  std::map<std::string, double> out{{"best", best_},
                                    {"bad_steps", static_cast<double>(bad_steps_)},
                                    {"cooldown_left", static_cast<double>(cooldown_left_)}};
  for (std::size_t g = 0; g < optimizer_->groups(); ++g) out.emplace(of_group("lr", g), optimizer_->lr(g));
  return out;
}

void ReduceLROnPlateau::load_state(const std::map<std::string, double>& state) {
  const std::int64_t bad = count(state, "bad_steps"), cooling = count(state, "cooldown_left");
  const double best = entry(state, "best");
  std::vector<double> lrs;
  for (std::size_t g = 0; g < optimizer_->groups(); ++g) lrs.push_back(entry(state, of_group("lr", g)));
  for (std::size_t g = 0; g < lrs.size(); ++g) optimizer_->set_lr(lrs[g], g);
  best_ = best;
  bad_steps_ = bad;
  cooldown_left_ = cooling;
}

}  // namespace karyon
