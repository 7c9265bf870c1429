#pragma once
#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/rnn.h>

namespace karyon::kernels {

// A step of a recurrent layer of N samples and H units. All tensors have one dtype, f32 or f64.
//   gx     [N, G H], what the input gives the gates, in PyTorch's order; G = recurrent_gates(cell)
//   gh     [N, G H], what the units give them, without bias_h
//   bias_h [G H] or undefined
//   h, c   [N, H], the units before the step; c of LSTM alone, undefined elsewhere
//   kept   [N, K H] for backward: the gates i, f, g, o of LSTM, or r, z, n and what the units give n of GRU;
//          undefined for RNN. K = recurrent_kept(cell)

constexpr std::int64_t recurrent_gates(RecurrentCell cell) {
  return cell == RecurrentCell::lstm ? 4 : cell == RecurrentCell::gru ? 3 : 1;
}
constexpr std::int64_t recurrent_kept(RecurrentCell cell) {
  return cell == RecurrentCell::lstm || cell == RecurrentCell::gru ? 4 : 0;
}

/// The units after the step.
extern Kernel<void(RecurrentCell cell, const Tensor& gx, const Tensor& gh, const Tensor& bias_h,
                   const Tensor& h, const Tensor& c, Tensor& kept, Tensor& new_h, Tensor& new_c)>
    recurrent_step;
/// The gradients of gx and gh. dh and dc [N, H] are those of the units after the step, and become those of
/// the units before it, but for what flows through gh.
extern Kernel<void(RecurrentCell cell, const Tensor& kept, const Tensor& h, const Tensor& c,
                   const Tensor& new_h, const Tensor& new_c, Tensor& dh, Tensor& dc, Tensor& dgx,
                   Tensor& dgh)>
    recurrent_step_backward;

}  // namespace karyon::kernels
