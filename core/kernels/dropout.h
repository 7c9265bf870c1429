#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// y = x / (1 - p) if u is at least p, else 0. u = to_uniform(word i % 4 of philox(seed, first + i / 4)).
extern Kernel<void(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first, Tensor& y)> dropout;

}  // namespace karyon::kernels
