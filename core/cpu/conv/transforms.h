#pragma once
#include <cstdint>

// Private to core/cpu: the transforms of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4. The source
// is Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks". They are compiled for each
// instruction set. A tile of the input is t x t pixels, t = m + 2, and becomes t * t planes; so does a
// filter. All functions take `channels` neighbouring floats, a multiple of simd_lanes().
namespace karyon::cpu {

/// A grid of pixels in memory: floats from one row or pixel to the next.
struct Grid {
  std::int64_t row, pixel;
};

/// The last step of outputs: max(scale y + shift, floor), with one scale and shift per channel.
struct Epilogue {
  const float* scale;
  const float* shift;
  float floor;
};

/// Sums over outputs minus a centre, per channel. A transform adds those of its tile.
struct TileSums {
  const float* centre;
  float *sum, *squares;
};

/// planes = B^T x B, for one t x t tile of the input; where scale is given, of max(scale x + shift, 0).
void winograd_input(std::int64_t m, const float* x, Grid at, const float* scale, const float* shift,
                    float* planes, std::int64_t plane, std::int64_t channels);

/// y = A^T planes A, one m x m tile of the output, through the epilogue and added to `sums` if given.
/// Non-temporal stores pay where y is too large to stay in the caches; y and its strides must then be
/// multiples of 64 bytes.
void winograd_output(std::int64_t m, const float* planes, std::int64_t plane, const Epilogue& epilogue,
                     float* y, Grid at, std::int64_t channels, bool nontemporal,
                     const TileSums* sums = nullptr);

/// planes = G filter G^T, for the 3 x 3 taps of a filter.
void winograd_filter(std::int64_t m, const float* filter, Grid at, float* planes, std::int64_t plane,
                     std::int64_t channels);

/// planes = A dy A^T: the transpose of winograd_output, for the gradient of one m x m tile.
void winograd_output_gradient(std::int64_t m, const float* dy, Grid at, float* planes, std::int64_t plane,
                              std::int64_t channels);

/// filter = G^T planes G: the transpose of winograd_filter.
void winograd_filter_gradient(std::int64_t m, const float* planes, std::int64_t plane, float* filter, Grid at,
                              std::int64_t channels);

}  // namespace karyon::cpu
