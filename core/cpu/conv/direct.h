#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <karyon/core/cpu/conv/taps.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/tensor.h>

// Private to the direct convolution (direct.cpp): its plan (direct_plan.cpp) and its packed filters
// (direct_filter.cpp).
namespace karyon::cpu {

// Filter position (i, j), which reads the input at an offset of (row, col) from the output's position.
struct Tap {
  std::int64_t row, col, i, j;
};
// Every tap of a row with every tap of a column, sorted by row, then col.
std::vector<Tap> product(const std::vector<AxisTap>& rows, const std::vector<AxisTap>& cols);

// One grid of outputs, out(i, j) = sum over taps of in(i * step + tap), for one group of channels.
struct TapConv {
  // The side read: [n, in_h, in_w, in_channels], of which channels c0 ... c0 + c - 1; where scale is given,
  // max(scale in + shift, 0) of it, and c is whole vectors.
  const float* in;
  const float *scale = nullptr, *shift = nullptr;
  std::int64_t n, in_h, in_w, in_channels, c0, c;
  Pair step = 1;
  std::vector<AxisTap> tap_rows, tap_cols;
  std::vector<Tap> taps = product(tap_rows, tap_cols);
  // The grid: rows x cols positions of [n, out_h, out_w, out_channels], channels k0 ... k0 + k - 1.
  std::int64_t rows, cols;
  std::int64_t out_h, out_w, out_channels, k0, k;
  Pair out_origin = 0, out_step = 1;

  std::int64_t out_offset(std::int64_t image, std::int64_t row, std::int64_t col) const {
    return ((image * out_h + out_origin.h + row * out_step.h) * out_w + out_origin.w + col * out_step.w) *
               out_channels +
           k0;
  }
};

// Where weight(out k, tap, in c) lies. The two directions read the same array along different axes.
struct WeightView {
  std::int64_t k_stride, c_stride, i_stride, j_stride, origin;
  std::int64_t at(std::int64_t k, const Tap& tap, std::int64_t c) const {
    return origin + k * k_stride + tap.i * i_stride + tap.j * j_stride + c * c_stride;
  }
};

// How a TapConv is computed. A chunk of the work is some rows of outputs of one image, or several whole
// images; where those chunks are few, it is only some of their panels of outputs. A stage adds up some of the
// input's channels.
struct DirectPlan {
  const TapConv& t;
  std::int64_t taps = static_cast<std::int64_t>(t.taps.size());
  std::int64_t row_min = INT64_MAX, row_max = INT64_MIN, col_min = INT64_MAX, col_max = INT64_MIN;  // of taps
  std::int64_t stages, channels;            // channels per stage (the last may have fewer)
  std::int64_t width = conv_panel_width();  // outputs of a panel (the last may have fewer)
  std::int64_t panels = ceil_div(t.k, width);
  std::int64_t left;                  // the first column that is read
  std::int64_t copy_w, copy_size;     // pixels in a row of an image's copy, floats in all of it
  std::int64_t rows, row_chunks;      // rows of outputs in a chunk at most, chunks of an image
  std::int64_t images, image_chunks;  // images in a chunk at most, chunks of all images
  std::int64_t shares;                // of the panels, each a task of its own
  bool skips;                         // taps that read beyond the image are left out
  bool in_place;                      // the input is read where it lies, not copied

  explicit DirectPlan(const TapConv& conv);

  // Chunks as large as the L2 cache holds their input.
  void cut_images();
  // Images of few pixels go together, so that filters are read less often. Few chunks share out the panels as
  // well. Both within what keeps the threads busy.
  void share_out();
  // The runs of all taps.
  std::vector<Run> runs(std::int64_t c, std::int64_t row, std::int64_t pixel) const;
  // Whether the input can be read where it lies: no value twice, none beyond the borders. With few panels it
  // does not pay to read it out of order, which a stride does.
  bool reads_in_place() const;

  std::int64_t tasks() const { return image_chunks * row_chunks * shares; }
  struct Chunk {
    std::int64_t first_image, last_image, first_row, rows, first_panel, last_panel;
  };
  Chunk chunk(std::int64_t task) const;

  std::int64_t first_channel(std::int64_t stage) const { return stage * channels; }
  std::int64_t channels_in(std::int64_t stage) const { return std::min(channels, t.c - stage * channels); }
  std::int64_t outputs_in(std::int64_t panel) const { return std::min(width, t.k - panel * width); }
  std::int64_t padded_outputs(std::int64_t panel) const { return round_up(outputs_in(panel), simd_lanes()); }
  // Floats of the packed filter: [panel][stage][tap][channel][outputs rounded up to vectors].
  std::int64_t packed_offset(std::int64_t panel, std::int64_t stage) const {
    return taps * (panel * width * t.c + first_channel(stage) * padded_outputs(panel));
  }
  std::int64_t packed_size() const { return taps * t.c * round_up(t.k, simd_lanes()); }

  // The rows of the input that a chunk reads begin with `top`; so many of them are copied.
  std::int64_t top(const Chunk& chunk) const {
    const std::int64_t first = chunk.first_row * t.step.h + row_min;
    return skips ? std::max<std::int64_t>(first, 0) : first;
  }
  std::int64_t copied_rows(const Chunk& chunk) const {
    const std::int64_t end = (chunk.first_row + chunk.rows - 1) * t.step.h + row_max + 1;
    return (skips ? std::min(end, t.in_h) : end) - top(chunk);
  }

  // Outputs of a chunk that the same taps reach, and where these read c channels. Rows count from the chunk's
  // first one.
  struct Patch {
    std::int64_t row, rows, col, cols;
    std::vector<Run> runs;
  };
  // `row` and `pixel` are floats from one row or pixel of the input to the next. Offsets count from `top` and
  // `left`.
  std::vector<Patch> patches(const Chunk& chunk, std::int64_t c, std::int64_t row, std::int64_t pixel) const;
};

// The weights as one direction reads them, and whether their packed form serves later calls.
struct Weights {
  const Tensor& tensor;
  WeightView view;
  bool keep;
};

// The packed weights of one grid of outputs, from the cache where they may be kept there.
Tensor packed_filter(const TapConv& t, const DirectPlan& p, const Weights& weights);

}  // namespace karyon::cpu
