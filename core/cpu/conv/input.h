#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/kernels/lazy.h>

// Private to core/cpu: what a convolution reads, wherever it lies.
namespace karyon::cpu {

/// Images [n, h, w, channels], as they are or, where scale is given, max(scale x + shift, 0) of them per
/// channel. They are the channels from `first` on of what they are part of.
struct ImagePart {
  const float* data = nullptr;
  std::int64_t first = 0, channels = 0;
  const float *scale = nullptr, *shift = nullptr;
};

/// The parts of an input, and what keeps them in memory.
struct ConvInput {
  std::vector<ImagePart> parts;
  std::vector<Tensor> held;
};

/// x in parts that are whole vectors of channels; as one part if `apart` is false.
ConvInput conv_input(const Tensor& x, bool apart);

/// x as a convolution in groups of `channels` reads it, in one part; where it cannot read x apart, x is made.
ConvInput grouped_input(const Tensor& x, std::int64_t channels);

/// pixels [count][channels] of a part, as a convolution sees them.
void read_pixels(const ImagePart& part, const float* from, std::int64_t count, float* to);

}  // namespace karyon::cpu
