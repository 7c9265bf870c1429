#pragma once
#include <karyon/core/kernel.h>
#include <karyon/core/random.h>

namespace karyon {

/// Sets each element to 0 with probability p and scales the others by 1 / (1 - p), when training;
/// else returns x. The mask comes from the generator's Philox stream and is regenerated in backward.
///   x  any shape, f32 or f64;  p in [0, 1]
/// Differentiable in x.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true,
               Generator& generator = default_generator());

}  // namespace karyon
