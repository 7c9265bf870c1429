#pragma once
#include <karyon/core/tensor.h>

// Channels that become pixels, and back. Values move: any dtype; differentiable where it is floating.
namespace karyon {

/// Each pixel's channels become `factor` x `factor` pixels, as torch.nn.functional.pixel_shuffle.
///   x        [N, H, W, C factor^2]; channel (c factor + i) factor + j goes to row i, column j of channel c
///   returns  [N, H factor, W factor, C]
/// Throws Error for other channels or a factor below 1.
Tensor pixel_shuffle(const Tensor& x, std::int64_t factor);
/// The inverse of pixel_shuffle.
///   x        [N, H factor, W factor, C]
///   returns  [N, H, W, C factor^2]
/// Throws Error for other sizes or a factor below 1.
Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor);
/// Channels regrouped as torch.nn.functional.channel_shuffle: channel c of group g becomes c groups + g.
///   x        [N, ..., C], C divisible by groups
Tensor channel_shuffle(const Tensor& x, std::int64_t groups);

}  // namespace karyon
