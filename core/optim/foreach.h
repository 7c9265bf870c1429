#pragma once
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

/// Every tensor of `to` becomes (1 - weight) to + weight from, in place and without a gradient, as
/// torch._foreach_lerp_. On a GPU one launch serves many tensors. Throws Error unless the lists are equally long
/// and each pair has one shape, one of f32 and f64, and one device.
void foreach_lerp_(const std::vector<Tensor>& to, const std::vector<Tensor>& from, double weight);

}  // namespace karyon
