#pragma once
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>

#include <karyon/layers/module.h>

namespace karyon {

/// Moves the state of `average` towards that of `model` by the share `weight`. Called after each step, with
/// an average that began as clone(model), it keeps an exponential moving average of the weights, as
/// torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(1 - weight). The average often predicts
/// better than the last weights (Polyak and Juditsky, 1992). Buffers of whole numbers are copied.
///   weight  in [0, 1]; 1 copies, as for a target network that follows every thousand steps
/// Throws Error unless both hold the same tensors.
void lerp_state_(Module& average, const Module& model, double weight);

struct EMAOptions {
  double decay = 0.999;  ///< what is kept of the average at each update
  bool warmup =
      false;  ///< at first the smaller (1 + updates) / (10 + updates), so that the start is forgotten
};

/// A copy of a module that follows it as an exponential moving average of parameters and buffers. The first
/// update copies.
///
///     EMA ema(net, {.decay = 0.999});
///     for (...) { ...; optimizer.step(); ema.update(net); }
///     ema.module().eval();
///
/// A checkpoint keeps it as {.average = &ema.module(), .numbers = {{"ema", &ema.updates()}}}.
template <std::derived_from<Module> M>
class EMA {
 public:
  /// Throws Error unless the module can be cloned and the decay is in [0, 1].
  explicit EMA(const M& model, const EMAOptions& options = {}) : options_(options), average_(clone(model)) {
    check(options.decay >= 0 && options.decay <= 1, "EMA: expects a decay in [0, 1], got ", options.decay);
    average_->requires_grad_(false);
  }

  /// Call after each step of the optimizer.
  void update(const M& model) {
    lerp_state_(*average_, model, updates_ == 0 ? 1 : 1 - decay());
    ++updates_;
  }
  /// What the next update keeps of the average, unless it is the first.
  double decay() const {
    const auto t = static_cast<double>(updates_);
    return options_.warmup ? std::min(options_.decay, (1 + t) / (10 + t)) : options_.decay;
  }
  std::int64_t& updates() { return updates_; }
  M& module() { return *average_; }

 private:
  EMAOptions options_;
  std::unique_ptr<M> average_;
  std::int64_t updates_ = 0;
};

}  // namespace karyon
