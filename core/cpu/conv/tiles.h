#pragma once
#include <cstdint>

#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/simd.h>

// Private to core/cpu: the register tiles in f32 (tiles.cpp), compiled for each instruction set and chosen at
// run time.
namespace karyon::cpu {

/// Neighbouring floats of the input that one stretch of the filter multiplies: taps side by side with all
/// their channels, in channels-last memory.
struct Run {
  std::int64_t offset;  // from the first tap of the output pixel at (0, 0)
  std::int64_t length;
  std::int64_t skip = 0;  // elements of the filter to pass over before; forward in f32 only
};

/// y(i, j) (+)= bias + sum over the runs of x * filter, for a grid of pixels and one panel of outputs.
struct ForwardTiles {
  const float* x;
  std::int64_t x_row = 0, x_pixel;  // floats from one output row's or pixel's input to the next one's
  const Run* runs;
  std::int64_t run_count;
  const float* filter;  // [sum of run lengths and skips][outputs rounded up to whole vectors]
  float* y = nullptr;
  std::int64_t y_row = 0, y_pixel;
  std::int64_t rows = 1, cols;
  std::int64_t outputs;                // 1 to conv_panel_width()
  const float* bias = nullptr;         // [outputs] or nullptr
  bool accumulate;                     // add to y instead of writing it
  const TileFinish* finish = nullptr;  // applied last; its values are those of the panel and of y
  bool nontemporal = false;            // non-temporal stores: whole vectors, aligned to 64 bytes
  std::int64_t ahead = 0;              // floats up to the filter that is needed next, fetched meanwhile
};
void conv_forward_tiles(const ForwardTiles& tiles);

/// partial[e][k] (+)= sum over a grid of pixels of x[run element e] * dy[k], for one panel of outputs.
struct WeightTiles {
  const float* x;
  std::int64_t x_row = 0, x_pixel;
  const Run* runs;
  std::int64_t run_count;
  const float* dy;  // [rows][cols][outputs rounded up to whole vectors], zeros beyond the outputs
  std::int64_t dy_row = 0, dy_pixel = 0;  // floats from one to the next; 0: dense
  std::int64_t rows = 1, cols;
  std::int64_t outputs;
  float* partial;  // [sum of run lengths][outputs rounded up to whole vectors]
  bool accumulate = true;
  const float* ahead = nullptr;  // the next data to read, fetched into the L2 cache meanwhile
  std::int64_t ahead_floats = 0;
};
void conv_weight_tiles(const WeightTiles& tiles);

/// Splits pixels into panels of `width` channels, each dense, one after the other. Where scale is given, the
/// panels hold max(scale from + shift, 0).
struct PixelPanels {
  const float* from;
  std::int64_t pixel;  // floats from one pixel to the next
  std::int64_t count, channels;
  const float *scale, *shift;  // [channels, which are then whole vectors] or nullptr
  float* to;
  std::int64_t width;  // whole vectors
  std::int64_t panel;  // floats from one panel to the next
  bool padded;         // the last panel, too, has whole vectors, with zeros for missing channels
};
void conv_split_pixels(const PixelPanels& pixels);

/// to[j][i] = from[i][j] for i < rows, j < cols; the strides are floats from one row to the next. With
/// non-temporal stores rows and cols must be whole vectors, and `to` and its stride aligned to 64 bytes.
void conv_transpose(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols,
                    float* to, std::int64_t to_stride, bool nontemporal = false);

/// Outputs in a full panel: two vectors of the instruction set in use.
std::int64_t conv_panel_width();

}  // namespace karyon::cpu
