#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/kernels/lazy.h>

// Private to core/cpu/conv: how a convolution reads its input without materializing lazy batch norms and lazy
// cats.
namespace karyon::cpu {

/// Images [n, h, w, channels] that are the channels of an input from `first` on. Where scale is given, the
/// input is max(scale x + shift, 0) of them per channel.
struct ImagePart {
  const float* data = nullptr;
  std::int64_t first = 0, channels = 0;
  const float *scale = nullptr, *shift = nullptr;
};

/// An input in parts that stand side by side in their channels, and the tensors that keep them in memory.
struct ConvInput {
  std::vector<ImagePart> parts;
  std::vector<Tensor> held;
};

/// x as the parts of a lazy cat if `apart`, else as one part.
ConvInput conv_input(const Tensor& x, bool apart);

/// x in one part, for a convolution in groups of `channels`. A lazy norm is materialized unless groups are
/// whole vectors.
ConvInput grouped_input(const Tensor& x, std::int64_t channels);

/// Copies pixels [count][channels] of a part, with its scale and shift applied.
void read_pixels(const ImagePart& part, const float* from, std::int64_t count, float* to);

}  // namespace karyon::cpu
