#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include <karyon/core/optim/schedule.h>

// More learning rate schedules, with the names and formulas of torch.optim.lr_scheduler.
namespace karyon {

/// The rate times lambda(steps).
class LambdaLR : public Schedule {
 public:
  LambdaLR(Optimizer& optimizer, std::function<double(std::int64_t steps)> lambda);
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  std::function<double(std::int64_t)> lambda_;
};

struct MultiStepLROptions {
  std::vector<std::int64_t> milestones;  ///< not falling
  double gamma = 0.1;
};
/// The rate times gamma at every milestone.
class MultiStepLR : public Schedule {
 public:
  explicit MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options);
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  MultiStepLROptions options_;
};

struct ExponentialLROptions {
  double gamma = 0.1;
};
/// The rate times gamma at every step.
class ExponentialLR : public Schedule {
 public:
  explicit ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options);
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  ExponentialLROptions options_;
};

struct PolynomialLROptions {
  std::int64_t total_iters = 5;
  double power = 1;
};
/// The rate times (1 - steps / total_iters)^power: 0 at the end, where it stays.
class PolynomialLR : public Schedule {
 public:
  explicit PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  PolynomialLROptions options_;
};

struct LinearLROptions {
  double start_factor = 1.0 / 3;
  double end_factor = 1;
  std::int64_t total_iters = 5;
};
/// The rate times a factor that goes in a line from start_factor to end_factor, where it stays. A warm-up.
class LinearLR : public Schedule {
 public:
  explicit LinearLR(Optimizer& optimizer, const LinearLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  LinearLROptions options_;
};

struct ConstantLROptions {
  double factor = 1.0 / 3;
  std::int64_t total_iters = 5;
};
/// The rate times factor for the first total_iters steps: none if it is 0, where PyTorch keeps the factor.
class ConstantLR : public Schedule {
 public:
  explicit ConstantLR(Optimizer& optimizer, const ConstantLROptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  ConstantLROptions options_;
};

struct CosineAnnealingWarmRestartsOptions {
  std::int64_t t_0 = 10;    ///< steps of the first cycle
  std::int64_t t_mult = 1;  ///< each further cycle has so many times the steps of the one before
  double min_lr = 0;
};
/// Half a cosine down to min_lr, again and again (SGDR; Loshchilov and Hutter, 2017).
class CosineAnnealingWarmRestarts : public Schedule {
 public:
  explicit CosineAnnealingWarmRestarts(Optimizer& optimizer,
                                       const CosineAnnealingWarmRestartsOptions& options = {});
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  CosineAnnealingWarmRestartsOptions options_;
};

// Schedules made of others. Make the parts for the same optimizer, before the whole, and step only the whole.
// The rates that count are those before the first part was made. The parts must outlive the whole.

/// One schedule after the other: part i + 1 begins after milestones[i] steps.
///
///     LinearLR warmup(sgd, {.start_factor = 0.1, .total_iters = 5});
///     PolynomialLR down(sgd, {.total_iters = 95});
///     SequentialLR schedule(sgd, {&warmup, &down}, {5});
class SequentialLR : public Schedule {
 public:
  /// Throws Error unless the milestones rise and are one fewer than the parts.
  SequentialLR(Optimizer& optimizer, std::vector<const Schedule*> parts,
               std::vector<std::int64_t> milestones);
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  std::vector<const Schedule*> parts_;
  std::vector<std::int64_t> milestones_;
};

/// All schedules at once: each takes what the one before gives as its base. So factors are multiplied.
class ChainedScheduler : public Schedule {
 public:
  ChainedScheduler(Optimizer& optimizer, std::vector<const Schedule*> parts);
  double rate(std::int64_t steps, double base_lr) const override;

 private:
  std::vector<const Schedule*> parts_;
};

}  // namespace karyon
