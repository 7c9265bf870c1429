#pragma once
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

namespace karyon {

/// In training, sets each element to 0 with probability p and scales the others by 1 / (1 - p). Otherwise
/// returns x. The mask comes from the generator's Philox stream and is regenerated in backward.
///   x  any shape, f32, f64 or bf16 (computed in f32);  p in [0, 1]
/// Differentiable in x.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true,
               Generator& generator = default_generator());

}  // namespace karyon
