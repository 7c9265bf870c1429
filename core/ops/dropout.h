#pragma once
#include <karyon/core/kernel.h>
#include <karyon/core/random.h>

namespace karyon {

/// Sets each element to 0 with probability p and scales the others by 1 / (1 - p), when training;
/// else returns x. The mask comes from the generator's Philox stream and is regenerated in backward.
///   x  any shape, f32, f64 or bf16 (computed in f32);  p in [0, 1]
/// Differentiable in x.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true,
               Generator& generator = default_generator());

namespace kernels {

/// y = x / (1 - p) where word i % 4 of philox(seed, first + i / 4), as to_uniform(), is at least p; else 0.
extern Kernel<void(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first, Tensor& y)> dropout;

}  // namespace kernels
}  // namespace karyon
