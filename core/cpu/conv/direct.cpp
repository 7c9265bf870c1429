// Direct convolution for every geometry, forward and transposed, from one idea: a sum over filter taps, each
// a shifted view of the input. A task copies the input of a chunk of output rows into dense memory with zeros
// around the image, which stays in the L2 cache. The inner loops so know no borders, strides or dilations. It
// then computes the outputs in register tiles (tiles.cpp). The gradient in the input is the same sum with
// other taps: for stride s it falls into s x s interleaved grids of outputs, each with the taps that reach
// it.
#include <algorithm>
#include <cstring>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/filter_cache.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t copy_floats = 96 * 1024;  // of the input's copy: 384 KiB of a 1 MiB L2 cache
constexpr std::int64_t chunk_pixels = 1024;      // of small images that one chunk takes together
constexpr std::int64_t max_taps = 9 * 128;       // times channels per stage: 147 KiB more for 32 outputs

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
  std::int64_t copy_w, copy_size;     // pixels in a row of an image's copy, floats in all of it
  std::int64_t rows, row_chunks;      // rows of outputs in a chunk at most, chunks of an image
  std::int64_t images, image_chunks;  // images in a chunk at most, chunks of all images
  std::int64_t shares;                // of the panels, each a task of its own
  bool in_place;                      // the input is read where it lies, not copied

  explicit DirectPlan(const TapConv& conv) : t(conv) {
    for (const Tap& tap : t.taps) {
      row_min = std::min(row_min, tap.row);
      row_max = std::max(row_max, tap.row);
      col_min = std::min(col_min, tap.col);
      col_max = std::max(col_max, tap.col);
    }
    stages = ceil_div(t.c, std::max<std::int64_t>(max_taps / taps, 128) / 128 * 128);
    channels = std::min(t.c, round_up(ceil_div(t.c, stages), 16));
    cut_images();
    share_out();
    in_place = reads_in_place();
  }

  // Chunks as large as the L2 cache holds their input.
  void cut_images() {
    copy_w = (t.cols - 1) * t.step.w + col_max - col_min + 1;
    const std::int64_t rows_that_fit = copy_floats / (copy_w * channels) - (row_max - row_min + 1);
    rows = std::clamp<std::int64_t>(rows_that_fit / t.step.h + 1, 1, t.rows);
    row_chunks = ceil_div(t.rows, rows);
    rows = ceil_div(t.rows, row_chunks);
    copy_size = ((rows - 1) * t.step.h + row_max - row_min + 1) * copy_w * channels;
  }

  // Images of few pixels go together, so that filters are read less often. Few chunks share out the panels as
  // well. Both within what keeps the threads busy.
  void share_out() {
    const std::int64_t tasks_wanted = 2 * num_threads();
    images = 1;
    if (row_chunks == 1)
      images = std::clamp<std::int64_t>(
          std::min(chunk_pixels / (t.rows * t.cols), 2 * copy_floats / copy_size), 1, t.n);
    while (images > 1 && ceil_div(t.n, images) * panels < 2 * tasks_wanted) images = ceil_div(images, 2);
    image_chunks = ceil_div(t.n, images);
    shares = std::clamp<std::int64_t>(ceil_div(tasks_wanted, image_chunks * row_chunks), 1, panels);
  }

  // Whether the input can be read where it lies: no value twice, none beyond the borders. With few panels it
  // does not pay to read it out of order, which a stride does.
  bool reads_in_place() const {
    const bool one_by_one = taps == 1 && t.step.h == 1 && t.step.w == 1;
    return !t.scale && (one_by_one || panels >= 4) && row_max - row_min < t.step.h &&
           col_max - col_min < t.step.w && row_min >= 0 && col_min >= 0 &&
           (t.rows - 1) * t.step.h + row_max < t.in_h && (t.cols - 1) * t.step.w + col_max < t.in_w;
  }

  std::int64_t tasks() const { return image_chunks * row_chunks * shares; }
  struct Chunk {
    std::int64_t first_image, last_image, first_row, rows, first_panel, last_panel;
  };
  Chunk chunk(std::int64_t task) const {
    const std::int64_t share = task % shares, row = task / shares % row_chunks * rows;
    const std::int64_t image = task / shares / row_chunks;
    return {.first_image = image * t.n / image_chunks,
            .last_image = (image + 1) * t.n / image_chunks,
            .first_row = row,
            .rows = std::min(rows, t.rows - row),
            .first_panel = share * panels / shares,
            .last_panel = (share + 1) * panels / shares};
  }

  std::int64_t first_channel(std::int64_t stage) const { return stage * channels; }
  std::int64_t channels_in(std::int64_t stage) const { return std::min(channels, t.c - stage * channels); }
  std::int64_t outputs_in(std::int64_t panel) const { return std::min(width, t.k - panel * width); }
  std::int64_t padded_outputs(std::int64_t panel) const { return round_up(outputs_in(panel), simd_lanes()); }
  // Floats of the packed filter: [panel][stage][tap][channel][outputs rounded up to vectors].
  std::int64_t packed_offset(std::int64_t panel, std::int64_t stage) const {
    return taps * (panel * width * t.c + first_channel(stage) * padded_outputs(panel));
  }
  std::int64_t packed_size() const { return taps * t.c * round_up(t.k, simd_lanes()); }

  // Where taps read c channels, `row` and `pixel` floats apart. Where pixels are dense, taps side by side
  // make one run.
  std::vector<Run> runs(std::int64_t c, std::int64_t row, std::int64_t pixel) const {
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

// Copies the input of a chunk's rows of outputs, for one image and stage, with zeros around the image.
void copy_input(const DirectPlan& p, const DirectPlan::Chunk& chunk, std::int64_t image, std::int64_t stage,
                float* to) {
  const TapConv& t = p.t;
  const std::int64_t c0 = p.first_channel(stage), c = p.channels_in(stage);
  const std::int64_t top = chunk.first_row * t.step.h + p.row_min;
  const std::int64_t height = (chunk.rows - 1) * t.step.h + p.row_max - p.row_min + 1;
  const std::int64_t left = std::clamp<std::int64_t>(-p.col_min, 0, p.copy_w);
  const std::int64_t right = std::clamp<std::int64_t>(t.in_w - p.col_min, left, p.copy_w);
  for (std::int64_t r = 0; r < height; ++r, to += p.copy_w * c) {
    const std::int64_t row = top + r;
    if (row < 0 || row >= t.in_h || left == right) {
      std::fill(to, to + p.copy_w * c, 0.0f);
      continue;
    }
    std::fill(to, to + left * c, 0.0f);
    const float* from =
        t.in + ((image * t.in_h + row) * t.in_w + left + p.col_min) * t.in_channels + t.c0 + c0;
    float* pixel = to + left * c;
    // All channels of a row of pixels lie together; only some of them are copied pixel by pixel.
    const bool together = c == t.in_channels;
    const ImagePart part{.channels = c,
                         .scale = t.scale ? t.scale + t.c0 + c0 : nullptr,
                         .shift = t.shift ? t.shift + t.c0 + c0 : nullptr};
    if (together) read_pixels(part, from, right - left, pixel);
    for (std::int64_t col = left; col < right && !together; ++col, from += t.in_channels, pixel += c)
      read_pixels(part, from, 1, pixel);
    std::fill(to + right * c, to + p.copy_w * c, 0.0f);
  }
}

// The weights as one direction reads them, and whether their packed form serves later calls.
struct Weights {
  const Tensor& tensor;
  WeightView view;
  bool keep;
};

// Packs the weights of one grid of outputs as register tiles read them.
struct FilterPacking {
  const TapConv& t;
  const DirectPlan& p;
  const WeightView& view;
  const float* weight;
  float* packed;
  // What no cache holds is written by non-temporal stores.
  bool nontemporal = p.packed_size() >= 4 * nontemporal_floats && t.k % p.width == 0 && t.c % 16 == 0 &&
                     reinterpret_cast<std::uintptr_t>(packed) % 64 == 0;

  const float* from(std::int64_t k, std::int64_t stage, std::int64_t tap, std::int64_t c) const {
    return weight + view.at(t.k0 + k, t.taps[static_cast<std::size_t>(tap)], p.first_channel(stage) + c);
  }
  float* to(std::int64_t panel, std::int64_t stage, std::int64_t tap, std::int64_t c) const {
    return packed + p.packed_offset(panel, stage) +
           (tap * p.channels_in(stage) + c) * p.padded_outputs(panel);
  }

  // Where outputs lie side by side: all outputs of `count` channels.
  void pack_by_channels(std::int64_t stage, std::int64_t tap, std::int64_t c, std::int64_t count) const {
    PixelPanels rows{.from = from(0, stage, tap, c),
                     .pixel = view.c_stride,
                     .count = count,
                     .channels = t.k / p.width * p.width,
                     .scale = nullptr,
                     .shift = nullptr,
                     .to = to(0, stage, tap, c),
                     .width = p.width,
                     .panel = p.taps * p.width * t.c,
                     .padded = true};
    if (rows.channels > 0) conv_split_pixels(rows);
    const std::int64_t rest = t.k - rows.channels;
    if (rest == 0) return;
    rows.from += rows.channels;
    rows.channels = rest;
    rows.to = to(p.panels - 1, stage, tap, c);
    conv_split_pixels(rows);
  }

  // Where channels lie side by side: all channels of a panel of outputs.
  void pack_by_outputs(std::int64_t stage, std::int64_t tap, std::int64_t panel) const {
    const std::int64_t channels = p.channels_in(stage), outputs = p.outputs_in(panel),
                       padded = p.padded_outputs(panel);
    float* const panel_to = to(panel, stage, tap, 0);
    if (outputs < padded) std::fill(panel_to, panel_to + channels * padded, 0.0f);
    conv_transpose(from(panel * p.width, stage, tap, 0), view.k_stride, outputs, channels, panel_to, padded,
                   nontemporal);
    if (nontemporal) hwy::FlushStream();  // before another thread may read it
  }

  void run() const {
    constexpr std::int64_t channels_at_once = 32;
    const bool outputs_together = view.k_stride == 1;
    const std::int64_t shares = outputs_together ? ceil_div(p.channels, channels_at_once) : p.panels;
    parallel_for(p.stages * p.taps * shares, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t stage = task / (p.taps * shares), tap = task / shares % p.taps,
                           share = task % shares;
        const std::int64_t c = share * channels_at_once, channels = p.channels_in(stage);
        if (!outputs_together) {
          pack_by_outputs(stage, tap, share);
        } else if (c < channels) {
          pack_by_channels(stage, tap, c, std::min(channels_at_once, channels - c));
        }
      }
    });
  }
};

// The packed weights, in memory that the allocator has at hand: fresh pages would cost more than the packing.
Tensor pack(const TapConv& t, const DirectPlan& p, const Weights& weights) {
  Tensor packed = empty({p.packed_size()});
  FilterPacking{.t = t,
                .p = p,
                .view = weights.view,
                .weight = weights.tensor.data<float>(),
                .packed = packed.data<float>()}
      .run();
  return packed;
}

// The packed weights, from the cache where they may be kept there.
Tensor cached(const TapConv& t, const DirectPlan& p, const Weights& weights) {
  const auto make = [&] { return pack(t, p, weights); };
  if (!weights.keep) return make();
  FilterKey key{
      0,  weights.view.k_stride, weights.view.origin + weights.tensor.impl()->offset, p.channels, t.k0, t.c,
      t.k};
  for (const Tap& tap : t.taps) key.insert(key.end(), {tap.i, tap.j});
  return used_before(weights.tensor, key) ? kept_filters(weights.tensor, key, make) : make();
}

// Outputs of grids that no tap reaches.
void fill_with_bias(const std::vector<TapConv>& grids, const float* bias, float* out) {
  for (const TapConv& grid : grids)
    parallel_for(grid.n * grid.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t col = 0; col < grid.cols; ++col) {
          float* pixel = out + grid.out_offset(row / grid.rows, row % grid.rows, col);
          for (std::int64_t k = 0; k < grid.k; ++k) pixel[k] = bias ? bias[grid.k0 + k] : 0.0f;
        }
    });
}

// What a chunk reads in one stage: floats from one row, pixel or image to the next, and where the taps read.
struct ChunkInput {
  const float* x;
  std::int64_t row, pixel, image;
  std::vector<Run> runs;
};

ChunkInput read_chunk(const DirectPlan& p, const DirectPlan::Chunk& chunk, std::int64_t stage) {
  const TapConv& t = p.t;
  const std::int64_t c = p.channels_in(stage), pixel = p.in_place ? t.in_channels : c,
                     row = (p.in_place ? t.in_w : p.copy_w) * pixel;
  const std::int64_t image = p.in_place ? t.in_h * row : p.copy_size;
  std::vector<Run> runs = p.runs(c, row, pixel);
  if (p.in_place) {
    const float* const x = t.in + chunk.first_image * image + (chunk.first_row * t.step.h + p.row_min) * row +
                           p.col_min * pixel + t.c0 + p.first_channel(stage);
    return {x, row, pixel, image, std::move(runs)};
  }
  float* const copies = scratch(p.images * p.copy_size, 0);
  for (std::int64_t i = chunk.first_image; i < chunk.last_image; ++i)
    copy_input(p, chunk, i, stage, copies + (i - chunk.first_image) * p.copy_size);
  return {copies, row, pixel, image, std::move(runs)};
}

// Grids that read the same input in the same way: a task copies it once for all of them.
struct DirectConv {
  const std::vector<TapConv>& grids;
  const DirectPlan& p;
  const std::vector<Tensor>& filters;  // packed, of each grid
  const float* bias;
  float* out;
  bool nontemporal = p.t.n * p.t.out_h * p.t.out_w * p.t.out_channels >= nontemporal_floats &&
                     p.stages == 1 && p.t.out_channels % 16 == 0 && p.t.k % p.width == 0 &&
                     p.t.k0 % 16 == 0 && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;

  // One panel of outputs of a chunk, for all grids and images.
  void multiply(const DirectPlan::Chunk& chunk, std::int64_t stage, const ChunkInput& in,
                std::int64_t panel) const {
    const std::int64_t k0 = panel * p.width, filter = p.packed_offset(panel, stage);
    for (std::size_t i = 0; i < grids.size(); ++i) {
      const TapConv& grid = grids[i];
      for (std::int64_t image = chunk.first_image; image < chunk.last_image; ++image)
        conv_forward_tiles({.x = in.x + (image - chunk.first_image) * in.image,
                            .x_row = p.t.step.h * in.row,
                            .x_pixel = p.t.step.w * in.pixel,
                            .runs = in.runs.data(),
                            .run_count = static_cast<std::int64_t>(in.runs.size()),
                            .filter = filters[i].data<float>() + filter,
                            .y = out + grid.out_offset(image, chunk.first_row, 0) + k0,
                            .y_row = grid.out_step.h * grid.out_w * grid.out_channels,
                            .y_pixel = grid.out_step.w * grid.out_channels,
                            .rows = chunk.rows,
                            .cols = grid.cols,
                            .outputs = p.outputs_in(panel),
                            .bias = bias && stage == 0 ? bias + grid.k0 + k0 : nullptr,
                            .accumulate = stage > 0,
                            .nontemporal = nontemporal,
                            .ahead = panel + 1 < p.panels ? p.packed_offset(panel + 1, stage) - filter : 0});
    }
  }

  void run() const {
    parallel_for(p.tasks(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const DirectPlan::Chunk chunk = p.chunk(task);
        if (chunk.rows <= 0) continue;
        for (std::int64_t stage = 0; stage < p.stages; ++stage) {
          const ChunkInput in = read_chunk(p, chunk, stage);
          for (std::int64_t panel = chunk.first_panel; panel < chunk.last_panel; ++panel)
            multiply(chunk, stage, in, panel);
        }
      }
      if (nontemporal) hwy::FlushStream();  // before another thread may read it
    });
  }
};

void convolve(const std::vector<TapConv>& grids, const Weights& weights, const float* bias, float* out) {
  const TapConv& t = grids.front();
  if (t.n == 0 || t.rows == 0 || t.cols == 0) return;
  if (t.taps.empty()) return fill_with_bias(grids, bias, out);
  const DirectPlan plan(t);
  std::vector<Tensor> filters;
  for (const TapConv& grid : grids) filters.push_back(cached(grid, plan, weights));
  DirectConv{.grids = grids, .p = plan, .filters = filters, .bias = bias, .out = out}.run();
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

// Whether two grids read the same input in the same way.
bool read_alike(const TapConv& a, const TapConv& b) {
  auto same = [](const Tap& p, const Tap& q) { return p.row == q.row && p.col == q.col; };
  return a.rows == b.rows && a.cols == b.cols && a.k == b.k && std::ranges::equal(a.taps, b.taps, same);
}

// The weights of a group as the gradient in the input reads them. Outputs and inputs change places: "out" is
// c within the group, "in" is k.
WeightView transposed_view(const ConvGeometry& g, std::int64_t group) {
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter = g.kernel.h * g.kernel.w * cg;
  return {.k_stride = 1,
          .c_stride = filter,
          .i_stride = g.kernel.w * cg,
          .j_stride = cg,
          .origin = group * kg * filter - group * cg};
}

// The grid of inputs at phase, phase + stride, ...: the outputs of this sum.
TapConv transposed_conv(const ConvGeometry& g, const ImagePart& dy, std::int64_t group, Pair phase) {
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
  TapConv t{.in = dy.data,
            .scale = dy.scale,
            .shift = dy.shift,
            .n = g.n,
            .in_h = g.h_out,
            .in_w = g.w_out,
            .in_channels = g.k,
            .c0 = group * kg,
            .c = kg,
            .rows = ceil_div(g.h - phase.h, g.stride.h),
            .cols = ceil_div(g.w - phase.w, g.stride.w),
            .out_h = g.h,
            .out_w = g.w,
            .out_channels = g.c,
            .k0 = group * cg,
            .k = cg,
            .out_origin = phase,
            .out_step = g.stride};
  for (const auto& [row, i] : phase_taps(phase.h, g.kernel.h, g.stride.h, g.padding.h, g.dilation.h))
    for (const auto& [col, j] : phase_taps(phase.w, g.kernel.w, g.stride.w, g.padding.w, g.dilation.w))
      t.taps.push_back({row, col, i, j});
  return t;
}

}  // namespace

void conv2d_direct(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, Tensor& y) {
  const ConvInput in = grouped_input(x, g.c / g.groups);
  for (std::int64_t group = 0; group < g.groups; ++group)
    convolve({forward_conv(g, in.parts[0], group)},
             {.tensor = weight, .view = forward_view(g), .keep = hints.keep_filters},
             bias.defined() ? bias.data<float>() : nullptr, y.data<float>());
}

void conv2d_backward_data_direct(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                                 const Tensor& weight, const Tensor& bias, Tensor& dx) {
  const ConvInput in = grouped_input(dy, g.k / g.groups);
  for (std::int64_t group = 0; group < g.groups; ++group) {
    std::vector<TapConv> alike;  // grids that are computed together
    const auto flush = [&] {
      if (!alike.empty())
        convolve(alike, {.tensor = weight, .view = transposed_view(g, group), .keep = hints.keep_filters},
                 bias.defined() ? bias.data<float>() : nullptr, dx.data<float>());
      alike.clear();
    };
    for (std::int64_t ph = 0; ph < std::min(g.stride.h, g.h); ++ph)
      for (std::int64_t pw = 0; pw < std::min(g.stride.w, g.w); ++pw) {
        TapConv grid = transposed_conv(g, in.parts[0], group, {ph, pw});
        if (!alike.empty() && !read_alike(alike.front(), grid)) flush();
        alike.push_back(std::move(grid));
      }
    flush();
  }
}

}  // namespace karyon::cpu
