// Direct convolution for every geometry, forward and transposed, from one idea: a sum over filter taps, each
// a shifted view of the input. A task copies a band of the input into a dense, padded block that stays in the
// L2 cache (so the inner loops know no borders, strides or dilations), then walks it in register tiles
// (conv_tiles.cpp). The gradient in the input is the same sum with other taps: for stride s it falls into s x
// s interleaved grids of outputs, each with the taps that reach it.
#include <algorithm>
#include <cstring>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/filter_cache.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t block_floats = 96 * 1024;  // of the padded input band: 384 KiB of a 1 MiB L2
constexpr std::int64_t unit_pixels = 1024;        // of images that go together
constexpr std::int64_t max_taps = 9 * 128;        // times channels per pass: 147 KiB more for 32 outputs

// Filter position (i, j), which reads the input at an offset of (row, col) from the output's position.
struct Tap {
  std::int64_t row, col, i, j;
};

// One grid of outputs, out(i, j) = sum over taps of in(i * step + tap), for one group of channels.
struct TapConv {
  // The side read: [n, in_h, in_w, in_channels], of which channels c0 ... c0 + c - 1; where scale is given,
  // max(scale in + shift, 0) of it, and c is whole vectors.
  const float* in;
  const float *scale = nullptr, *shift = nullptr;
  std::int64_t n, in_h, in_w, in_channels, c0, c;
  Pair step = 1;
  std::vector<Tap> taps = {};  // sorted by row, then col
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

// How a TapConv is cut: bands of output rows, passes over input channels, blocks of outputs.
struct Blocking {
  std::int64_t row_min, row_max, col_min, col_max;  // of the taps
  std::int64_t passes, channels;                    // channels per pass (the last may have fewer)
  std::int64_t band, bands;
  std::int64_t block_w;  // pixels in a row of the padded block
  std::int64_t blocks;   // of outputs
  std::int64_t max_block_pixels;

  explicit Blocking(const TapConv& t) {
    row_min = col_min = INT64_MAX;
    row_max = col_max = INT64_MIN;
    for (const Tap& tap : t.taps) {
      row_min = std::min(row_min, tap.row);
      row_max = std::max(row_max, tap.row);
      col_min = std::min(col_min, tap.col);
      col_max = std::max(col_max, tap.col);
    }
    passes = ceil_div(
        t.c, std::max<std::int64_t>(max_taps / static_cast<std::int64_t>(t.taps.size()), 128) / 128 * 128);
    channels = std::min(t.c, ceil_div(ceil_div(t.c, passes), 16) * 16);
    block_w = (t.cols - 1) * t.step.w + col_max - col_min + 1;
    const std::int64_t rows_that_fit = block_floats / (block_w * channels) - (row_max - row_min + 1);
    band = std::clamp<std::int64_t>(rows_that_fit / t.step.h + 1, 1, t.rows);
    bands = ceil_div(t.rows, band);
    band = ceil_div(t.rows, bands);
    blocks = ceil_div(t.k, conv_block_width());
    max_block_pixels = ((band - 1) * t.step.h + row_max - row_min + 1) * block_w;
  }

  // Whether the input can be read where it lies: no value twice, none beyond the borders. Few blocks of
  // outputs do not pay for reading it out of order, which a stride does.
  bool in_place(const TapConv& t) const {
    const bool one_by_one = t.taps.size() == 1 && t.step.h == 1 && t.step.w == 1;
    return !t.scale && (one_by_one || blocks >= 4) && row_max - row_min < t.step.h &&
           col_max - col_min < t.step.w && row_min >= 0 && col_min >= 0 &&
           (t.rows - 1) * t.step.h + row_max < t.in_h && (t.cols - 1) * t.step.w + col_max < t.in_w;
  }
  std::int64_t first_channel(std::int64_t pass) const { return pass * channels; }
  std::int64_t channels_in(const TapConv& t, std::int64_t pass) const {
    return std::min(channels, t.c - pass * channels);
  }
  std::int64_t outputs_in(const TapConv& t, std::int64_t block) const {
    return std::min(conv_block_width(), t.k - block * conv_block_width());
  }
  // Floats of the packed filter: [block][pass][tap][channel][outputs rounded up to vectors].
  std::int64_t packed_offset(const TapConv& t, std::int64_t block, std::int64_t pass) const {
    const auto taps = static_cast<std::int64_t>(t.taps.size());
    return taps * (block * conv_block_width() * t.c + first_channel(pass) * rounded(outputs_in(t, block)));
  }
  std::int64_t packed_size(const TapConv& t) const {
    return static_cast<std::int64_t>(t.taps.size()) * t.c * rounded(t.k);
  }

  // Where taps read c channels, `row` and `pixel` floats apart; those side by side read on where pixels are
  // dense.
  std::vector<Run> runs(const TapConv& t, std::int64_t c, std::int64_t row, std::int64_t pixel) const {
    std::vector<Run> out;
    for (std::size_t i = 0; i < t.taps.size(); ++i) {
      const Tap& tap = t.taps[i];
      if (i > 0 && c == pixel && tap.row == t.taps[i - 1].row && tap.col == t.taps[i - 1].col + 1) {
        out.back().length += c;
      } else {
        out.push_back({(tap.row - row_min) * row + (tap.col - col_min) * pixel, c});
      }
    }
    return out;
  }
};

// Copies the input of output rows first ... first + rows - 1 into a dense block with zeros around the image.
void fill_block(const TapConv& t, const Blocking& b, std::int64_t image, std::int64_t first,
                std::int64_t rows, std::int64_t c0, std::int64_t c, float* block) {
  const std::int64_t top = first * t.step.h + b.row_min;
  const std::int64_t height = (rows - 1) * t.step.h + b.row_max - b.row_min + 1;
  const std::int64_t left = std::clamp<std::int64_t>(-b.col_min, 0, b.block_w);
  const std::int64_t right = std::clamp<std::int64_t>(t.in_w - b.col_min, left, b.block_w);
  for (std::int64_t r = 0; r < height; ++r, block += b.block_w * c) {
    const std::int64_t row = top + r;
    if (row < 0 || row >= t.in_h || left == right) {
      std::fill(block, block + b.block_w * c, 0.0f);
      continue;
    }
    std::fill(block, block + left * c, 0.0f);
    const float* from =
        t.in + ((image * t.in_h + row) * t.in_w + left + b.col_min) * t.in_channels + t.c0 + c0;
    float* to = block + left * c;
    // All channels of a row of pixels lie together, some of them pixel by pixel.
    const bool together = c == t.in_channels;
    const ImagePart part{.channels = c,
                         .scale = t.scale ? t.scale + t.c0 + c0 : nullptr,
                         .shift = t.shift ? t.shift + t.c0 + c0 : nullptr};
    if (together) read_pixels(part, from, right - left, to);
    for (std::int64_t p = left; p < right && !together; ++p, from += t.in_channels, to += c)
      read_pixels(part, from, 1, to);
    std::fill(block + right * c, block + b.block_w * c, 0.0f);
  }
}

// The weights as one direction reads them, and whether their packed form serves later calls.
struct Weights {
  const Tensor& tensor;
  WeightView view;
  bool keep;
};

// In memory that the allocator has at hand: fresh pages would cost more than the packing.
Tensor pack_filter(const TapConv& t, const Blocking& b, const Weights& weights) {
  auto pack = [&] {
    const float* const weight = weights.tensor.data<float>();
    const WeightView& view = weights.view;
    Tensor packed = empty({b.packed_size(t)});
    const std::int64_t taps = static_cast<std::int64_t>(t.taps.size()), width = conv_block_width();
    // What no cache holds is written around them.
    const bool stream = b.packed_size(t) >= 4 * stream_floats && t.k % width == 0 && t.c % 16 == 0 &&
                        reinterpret_cast<std::uintptr_t>(packed.data<float>()) % 64 == 0;
    auto from = [&](std::int64_t k, std::int64_t pass, std::int64_t tap, std::int64_t c) {
      return weight + view.at(t.k0 + k, t.taps[static_cast<std::size_t>(tap)], b.first_channel(pass) + c);
    };
    auto to = [&](std::int64_t block, std::int64_t pass, std::int64_t tap, std::int64_t c) {
      return packed.data<float>() + b.packed_offset(t, block, pass) +
             (tap * b.channels_in(t, pass) + c) * rounded(b.outputs_in(t, block));
    };
    // Weights are read in stretches: where outputs lie side by side, all of them for some channels,
    auto pack_channels = [&](std::int64_t pass, std::int64_t tap, std::int64_t c, std::int64_t count) {
      PixelPanels rows{.from = from(0, pass, tap, c),
                       .pixel = view.c_stride,
                       .count = count,
                       .channels = t.k / width * width,
                       .scale = nullptr,
                       .shift = nullptr,
                       .to = to(0, pass, tap, c),
                       .width = width,
                       .panel = taps * width * t.c,
                       .padded = true};
      if (rows.channels > 0) conv_split_pixels(rows);
      const std::int64_t rest = t.k - rows.channels;
      if (rest == 0) return;
      rows.from += rows.channels;
      rows.channels = rest;
      rows.to = to(b.blocks - 1, pass, tap, c);
      conv_split_pixels(rows);
    };
    // else all channels for a block of outputs.
    auto pack_block = [&](std::int64_t pass, std::int64_t tap, std::int64_t block) {
      const std::int64_t channels = b.channels_in(t, pass), outputs = b.outputs_in(t, block);
      float* block_to = to(block, pass, tap, 0);
      if (outputs < rounded(outputs)) std::fill(block_to, block_to + channels * rounded(outputs), 0.0f);
      conv_transpose(from(block * width, pass, tap, 0), view.k_stride, outputs, channels, block_to,
                     rounded(outputs), stream);
      if (stream) hwy::FlushStream();  // before another thread may read it
    };
    constexpr std::int64_t some = 32;  // channels
    const bool outputs_together = view.k_stride == 1;
    const std::int64_t pieces = outputs_together ? ceil_div(b.channels, some) : b.blocks;
    parallel_for(b.passes * taps * pieces, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t pass = task / (taps * pieces), tap = task / pieces % taps, piece = task % pieces;
        const std::int64_t c = piece * some, channels = b.channels_in(t, pass);
        if (!outputs_together) {
          pack_block(pass, tap, piece);
        } else if (c < channels) {
          pack_channels(pass, tap, c, std::min(some, channels - c));
        }
      }
    });
    return packed;
  };
  if (!weights.keep) return pack();
  FilterKey key{
      0,  weights.view.k_stride, weights.view.origin + weights.tensor.impl()->offset, b.channels, t.k0, t.c,
      t.k};
  for (const Tap& tap : t.taps) key.insert(key.end(), {tap.i, tap.j});
  return used_before(weights.tensor, key) ? kept_filters(weights.tensor, key, pack) : pack();
}

// Grids that read the same input in the same blocks: a task makes each block once for all of them.
void forward(const std::vector<TapConv>& grids, const Weights& weights, const float* bias, float* out) {
  const TapConv& t = grids.front();
  if (t.n == 0 || t.rows == 0 || t.cols == 0) return;
  if (t.taps.empty()) {  // grids that no tap reaches
    for (const TapConv& grid : grids)
      parallel_for(grid.n * grid.rows, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row)
          for (std::int64_t col = 0; col < grid.cols; ++col) {
            float* pixel = out + grid.out_offset(row / grid.rows, row % grid.rows, col);
            for (std::int64_t k = 0; k < grid.k; ++k) pixel[k] = bias ? bias[grid.k0 + k] : 0.0f;
          }
      });
    return;
  }
  const Blocking b(t);
  std::vector<Tensor> packed;
  for (const TapConv& grid : grids) packed.push_back(pack_filter(grid, b, weights));
  const bool in_place = b.in_place(t);
  const bool stream = t.n * t.out_h * t.out_w * t.out_channels >= stream_floats && b.passes == 1 &&
                      t.out_channels % 16 == 0 && t.k % conv_block_width() == 0 && t.k0 % 16 == 0 &&
                      reinterpret_cast<std::uintptr_t>(out) % 64 == 0;
  // Images of few pixels go together, so that filters are read less often, and few units share out the blocks
  // of outputs as well: all within what keeps the threads busy.
  const std::int64_t tasks = 2 * num_threads(), block_size = b.max_block_pixels * b.channels;
  std::int64_t images =
      b.bands > 1 ? 1
                  : std::clamp<std::int64_t>(
                        std::min(unit_pixels / (t.rows * t.cols), 2 * block_floats / block_size), 1, t.n);
  while (images > 1 && ceil_div(t.n, images) * b.blocks < 2 * tasks) images = ceil_div(images, 2);
  const std::int64_t groups = ceil_div(t.n, images), units = groups * b.bands;
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(tasks, units), 1, b.blocks);
  parallel_for(units * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t unit = task / parts, part = task % parts, group = unit / b.bands;
      const std::int64_t first_image = group * t.n / groups, last_image = (group + 1) * t.n / groups;
      const std::int64_t first = unit % b.bands * b.band, rows = std::min(b.band, t.rows - first);
      if (rows <= 0) continue;
      for (std::int64_t pass = 0; pass < b.passes; ++pass) {
        const std::int64_t c = b.channels_in(t, pass);
        const std::int64_t pixel = in_place ? t.in_channels : c,
                           row = (in_place ? t.in_w : b.block_w) * pixel;
        const std::int64_t image_size = in_place ? t.in_h * row : block_size;
        const std::vector<Run> runs = b.runs(t, c, row, pixel);
        const float* x;
        if (in_place) {
          x = t.in + first_image * image_size + (first * t.step.h + b.row_min) * row + b.col_min * pixel +
              t.c0 + b.first_channel(pass);
        } else {
          float* blocks = scratch(images * block_size, 0);
          for (std::int64_t image = first_image; image < last_image; ++image)
            fill_block(t, b, image, first, rows, b.first_channel(pass), c,
                       blocks + (image - first_image) * block_size);
          x = blocks;
        }
        for (std::int64_t k = part * b.blocks / parts; k < (part + 1) * b.blocks / parts; ++k) {
          const std::int64_t k0 = k * conv_block_width();
          for (std::size_t i = 0; i < grids.size(); ++i) {
            const TapConv& grid = grids[i];
            const std::int64_t filter = b.packed_offset(grid, k, pass);
            for (std::int64_t image = first_image; image < last_image; ++image)
              conv_forward_tiles(
                  {.x = x + (image - first_image) * image_size,
                   .x_row = t.step.h * row,
                   .x_pixel = t.step.w * pixel,
                   .runs = runs.data(),
                   .run_count = static_cast<std::int64_t>(runs.size()),
                   .filter = packed[i].data<float>() + filter,
                   .y = out + grid.out_offset(image, first, 0) + k0,
                   .y_row = grid.out_step.h * grid.out_w * grid.out_channels,
                   .y_pixel = grid.out_step.w * grid.out_channels,
                   .rows = rows,
                   .cols = grid.cols,
                   .outputs = b.outputs_in(grid, k),
                   .bias = bias && pass == 0 ? bias + grid.k0 + k0 : nullptr,
                   .accumulate = pass > 0,
                   .stream = stream,
                   .ahead = k + 1 < b.blocks ? b.packed_offset(grid, k + 1, pass) - filter : 0});
          }
        }
      }
    }
    if (stream) hwy::FlushStream();  // before another thread may read it
  });
}

std::vector<Tap> forward_taps(const ConvGeometry& g) {
  std::vector<Tap> taps;
  for (std::int64_t i = 0; i < g.kernel.h; ++i)
    for (std::int64_t j = 0; j < g.kernel.w; ++j)
      taps.push_back({i * g.dilation.h - g.padding.h, j * g.dilation.w - g.padding.w, i, j});
  return taps;
}

TapConv forward_conv(const ConvGeometry& g, const ImagePart& x, std::int64_t group) {
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  return {.in = x.data,
          .scale = x.scale,
          .shift = x.shift,
          .n = g.n,
          .in_h = g.h,
          .in_w = g.w,
          .in_channels = g.c,
          .c0 = group * cg,
          .c = cg,
          .step = g.stride,
          .taps = forward_taps(g),
          .rows = g.h_out,
          .cols = g.w_out,
          .out_h = g.h_out,
          .out_w = g.w_out,
          .out_channels = g.k,
          .k0 = group * kg,
          .k = kg};
}

// weight [K, kH, kW, C / groups], read as (out k, in c). `k` counts over all groups.
WeightView forward_view(const ConvGeometry& g) {
  const std::int64_t cg = g.c / g.groups;
  return {.k_stride = g.kernel.h * g.kernel.w * cg,
          .c_stride = 1,
          .i_stride = g.kernel.w * cg,
          .j_stride = cg,
          .origin = 0};
}

// Taps through which the inputs at phase, phase + stride, ... meet outputs, along one axis.
std::vector<std::pair<std::int64_t, std::int64_t>> phase_taps(std::int64_t phase, std::int64_t kernel,
                                                              std::int64_t stride, std::int64_t padding,
                                                              std::int64_t dilation) {
  std::vector<std::pair<std::int64_t, std::int64_t>> taps;  // offset, filter position
  for (std::int64_t i = kernel - 1; i >= 0; --i) {
    const std::int64_t scaled = phase + padding - i * dilation;
    if (scaled % stride == 0) taps.emplace_back(scaled / stride, i);
  }
  return taps;
}

// Whether two grids of the same input read the same blocks in the same way.
bool read_alike(const TapConv& a, const TapConv& b) {
  auto same = [](const Tap& p, const Tap& q) { return p.row == q.row && p.col == q.col; };
  return a.rows == b.rows && a.cols == b.cols && a.k == b.k && std::ranges::equal(a.taps, b.taps, same);
}

}  // namespace

void conv2d_direct(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   Tensor& y) {
  const ConvInput in = grouped_input(x, g.c / g.groups);
  for (std::int64_t group = 0; group < g.groups; ++group)
    forward({forward_conv(g, in.parts[0], group)},
            {.tensor = weight, .view = forward_view(g), .keep = g.keep_filters},
            bias.defined() ? bias.data<float>() : nullptr, y.data<float>());
}

void conv2d_backward_data_direct(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                 const Tensor& bias, Tensor& dx) {
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  const ConvInput in = grouped_input(dy, kg);
  for (std::int64_t group = 0; group < g.groups; ++group) {
    // Outputs and inputs change places: "out" is c within the group, "in" is k.
    const std::int64_t filter = g.kernel.h * g.kernel.w * cg;
    const WeightView view{.k_stride = 1,
                          .c_stride = filter,
                          .i_stride = g.kernel.w * cg,
                          .j_stride = cg,
                          .origin = group * kg * filter - group * cg};
    std::vector<TapConv> alike;  // grids that go together
    auto flush = [&] {
      if (!alike.empty())
        forward(alike, {.tensor = weight, .view = view, .keep = g.keep_filters},
                bias.defined() ? bias.data<float>() : nullptr, dx.data<float>());
      alike.clear();
    };
    for (std::int64_t ph = 0; ph < std::min(g.stride.h, g.h); ++ph) {
      const auto row_taps = phase_taps(ph, g.kernel.h, g.stride.h, g.padding.h, g.dilation.h);
      for (std::int64_t pw = 0; pw < std::min(g.stride.w, g.w); ++pw) {
        TapConv t{.in = in.parts[0].data,
                  .scale = in.parts[0].scale,
                  .shift = in.parts[0].shift,
                  .n = g.n,
                  .in_h = g.h_out,
                  .in_w = g.w_out,
                  .in_channels = g.k,
                  .c0 = group * kg,
                  .c = kg,
                  .rows = ceil_div(g.h - ph, g.stride.h),
                  .cols = ceil_div(g.w - pw, g.stride.w),
                  .out_h = g.h,
                  .out_w = g.w,
                  .out_channels = g.c,
                  .k0 = group * cg,
                  .k = cg,
                  .out_origin = {ph, pw},
                  .out_step = g.stride};
        for (const auto& [row, i] : row_taps)
          for (const auto& [col, j] : phase_taps(pw, g.kernel.w, g.stride.w, g.padding.w, g.dilation.w))
            t.taps.push_back({row, col, i, j});
        if (!alike.empty() && !read_alike(alike.front(), t)) flush();
        alike.push_back(std::move(t));
      }
    }
    flush();
  }
}

}  // namespace karyon::cpu
