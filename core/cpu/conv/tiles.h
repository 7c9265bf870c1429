#pragma once
#include <cstdint>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/simd.h>

// Private to core/cpu: the register-blocked inner loops of the direct convolution (conv_tiles.cpp), compiled
// once for each instruction set and chosen at run time.
namespace karyon::cpu {

/// Consecutive floats of the input that one stretch of the filter multiplies: taps side by side and all
/// their channels lie next to each other in a dense channels-last block.
struct Run {
  std::int64_t offset;  // from the first tap of the output pixel at (0, 0)
  std::int64_t length;
};

/// y(i, j) (+)= bias + sum over the runs of x * filter, for a grid of pixels and one block of outputs.
struct ForwardTiles {
  const float* x;
  std::int64_t x_row = 0, x_pixel;  // floats from one output row's or pixel's input to the next one's
  const Run* runs;
  std::int64_t run_count;
  const float* filter;  // [sum of run lengths][outputs rounded up to whole vectors]
  float* y = nullptr;
  std::int64_t y_row = 0, y_pixel;
  std::int64_t rows = 1, cols;
  std::int64_t outputs;         // 1 to conv_block_width()
  const float* bias = nullptr;  // [outputs] or nullptr
  bool accumulate;              // add to y instead of writing it
  bool stream = false;          // write around the caches: whole vectors, aligned to 64 bytes
  std::int64_t ahead = 0;       // floats from the filter to the one that is needed next, fetched meanwhile
};
void conv_forward_tiles(const ForwardTiles& tiles);

/// partial[e][k] (+)= sum over a grid of pixels of x[run element e] * dy[k], for one block of outputs.
struct WeightTiles {
  const float* x;
  std::int64_t x_row = 0, x_pixel;
  const Run* runs;
  std::int64_t run_count;
  const float* dy;  // [rows][cols][outputs rounded up to whole vectors], zeros beyond the outputs
  std::int64_t dy_row = 0, dy_pixel = 0;  // floats from one to the next; 0: dense
  std::int64_t rows, cols;
  std::int64_t outputs;
  float* partial;  // [sum of run lengths][outputs rounded up to whole vectors]
  bool accumulate = true;
  const float* ahead = nullptr;  // what is read after this, fetched into the L2 cache meanwhile
  std::int64_t ahead_floats = 0;
};
void conv_weight_tiles(const WeightTiles& tiles);

/// Takes pixels apart into panels of `width` channels each, dense and one after the other; where scale is
/// given, max(scale from + shift, 0) of them.
struct PixelPanels {
  const float* from;
  std::int64_t pixel;  // floats from one pixel to the next
  std::int64_t count, channels;
  const float *scale, *shift;  // [channels, which are then whole vectors] or nullptr
  float* to;
  std::int64_t width;  // whole vectors
  std::int64_t panel;  // floats from one panel to the next
  bool padded;         // the last panel, too, has whole vectors, with zeros in the place of what is missing
};
void conv_split_pixels(const PixelPanels& pixels);

/// to[j][i] = from[i][j] for i < rows, j < cols; the strides are floats from one row to the next. `stream`
/// writes around the caches: rows and cols must then be whole vectors, to and its stride aligned to 64 bytes.
void conv_transpose(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols,
                    float* to, std::int64_t to_stride, bool stream = false);

/// Channels rounded up to whole vectors.
inline std::int64_t rounded(std::int64_t channels) { return round_up(channels, simd_lanes()); }

/// Outputs in a full block: two vectors of the instruction set in use.
std::int64_t conv_block_width();

}  // namespace karyon::cpu
