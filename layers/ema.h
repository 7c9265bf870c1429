#pragma once
#include <karyon/layers/module.h>

namespace karyon {

/// Moves the state of `average` towards that of `model` by the share `weight`. Called after each step, with
/// an average that began as clone(model), it keeps an exponential moving average of the weights, as
/// torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(1 - weight). The average often predicts
/// better than the last weights (Polyak and Juditsky, 1992). Buffers of whole numbers are copied.
///   weight  in [0, 1]; 1 copies, as for a target network that follows every thousand steps
/// Throws Error unless both hold the same tensors.
void lerp_state_(Module& average, const Module& model, double weight);

}  // namespace karyon
