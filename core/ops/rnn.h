#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

enum class RecurrentCell { rnn_tanh, rnn_relu, lstm, gru };

/// The weights of a recurrent layer of H units, G H rows each: G is 4 for LSTM (gates i, f, g, o), 3 for GRU
/// (r, z, n) and 1 for RNN. The rows of a gate are neighbours, in PyTorch's order.
struct RecurrentWeights {
  Tensor weight_ih;              ///< [G H, I]
  Tensor weight_hh;              ///< [G H, H]
  Tensor bias_ih, bias_hh = {};  ///< [G H], or both undefined
};

struct RecurrentOutput {
  Tensor output;  ///< [T, N, H], h after each step
  Tensor h, c;    ///< [N, H] after the last step; c of LSTM alone
};

/// One layer of a recurrent network over a sequence, in one direction, as torch.nn.RNN, LSTM and GRU define
/// it. `reverse` begins with the last element; the output keeps the places of the input.
///   x     [T, N, I], T of at least 1
///   h, c  [N, H], the units before the first step; undefined: 0. c of LSTM alone
/// f32 or f64, weights the same; bf16 is cast to f32, and the results are cast back. Under autocast the
/// product with weight_ih alone is bf16. Differentiable in all tensors. Backward keeps up to 7 numbers per
/// unit and step. Throws Error if shapes or dtypes disagree.
RecurrentOutput recurrent(RecurrentCell cell, const Tensor& x, const Tensor& h, const Tensor& c,
                          const RecurrentWeights& weights, bool reverse = false);

}  // namespace karyon
