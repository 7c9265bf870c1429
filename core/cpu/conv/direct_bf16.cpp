// Direct convolution of bf16 by dot products of pairs. Forward pairs neighbouring values of a pixel; the
// gradient in the weights pairs two pixels. Where padding reaches into the input, its rows are copied with
// zeros around them. Rows of a lazy batch norm are computed into such a copy.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/chunks.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/conv/transforms_bf16.h>
#include <karyon/core/cpu/lazy_pixels.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>
#include <karyon/core/weight_cache.h>

namespace karyon::cpu {
namespace {

// For the gradient in the weights:
constexpr std::int64_t call_pairs = 128;    // pixel pairs per call of the register tiles
constexpr std::int64_t shared_pairs = 512;  // pixel pairs per stage when all threads share one stage
constexpr std::int64_t most_panel = 64;     // outputs in a panel of dy
constexpr std::int64_t most_sums = std::int64_t{5} << 18;  // floats in the sums of all chunks
constexpr std::int64_t most_chunks = 8;  // where fewer fit, threads share out the weights, not the pixels
constexpr std::int64_t skew = 32;        // bf16 between panels, which would share sets of the L1 cache

using Pixels = LazyPixels<BFloat16>;

// How the input under one row of outputs is read.
struct RowPlan {
  bool whole;                            // no padding: rows are read as they are
  std::int64_t span;                     // rows under a row of outputs, with those that dilation leaves out
  std::int64_t width;                    // pixels in a row, or in that of the copy
  std::vector<Run> runs;                 // from the first output's input
  std::int64_t elements = 0, pairs = 0;  // summed over the runs

  // Taps side by side are one run, unless they are to be kept apart.
  explicit RowPlan(const ConvGeometry& g, bool apart = false)
      : whole(g.padding.h == 0 && g.padding.w == 0),
        span(whole ? (g.kernel.h - 1) * g.dilation.h + 1 : g.kernel.h) {
    width = whole ? g.w : (g.w_out - 1) * g.stride.w + (g.kernel.w - 1) * g.dilation.w + 1;
    const std::int64_t side_by_side = g.dilation.w == 1 && g.groups == 1 && !apart ? g.kernel.w : 1;
    const std::int64_t row = width * g.c * (whole ? g.dilation.h : 1);
    for (std::int64_t i = 0; i < g.kernel.h; ++i)
      for (std::int64_t j = 0; j < g.kernel.w; j += side_by_side)
        runs.push_back({i * row + j * g.dilation.w * g.c, side_by_side * g.c / g.groups});
    for (const Run& run : runs) {
      elements += run.length;
      pairs += ceil_div(run.length, 2);
    }
  }
  std::int64_t copy_size(const ConvGeometry& g, const Pixels& x) const {
    return whole && x.in_memory() ? 0 : span * width * g.c;
  }

  // The input of a row of outputs, in place or copied to `copy`. Rows are counted over all images. The last row
  // of in_rows() has fewer pixels.
  const BFloat16* at(const ConvGeometry& g, const Pixels& x, std::int64_t row_out, BFloat16* copy) const {
    const std::int64_t top = row_out / g.h_out * g.h, oh = row_out % g.h_out;
    const std::int64_t first = (top + oh * g.stride.h) * g.w;
    if (whole) return x.read(first, std::min(span * g.w, x.pixels - first), copy);
    const std::int64_t left = std::min(g.padding.w, width),
                       right = std::clamp(g.padding.w + g.w, left, width);
    BFloat16* to = copy;
    for (std::int64_t i = 0; i < g.kernel.h; ++i, to += width * g.c) {
      const std::int64_t row = oh * g.stride.h - g.padding.h + i * g.dilation.h;
      if (row < 0 || row >= g.h) {
        std::fill_n(to, width * g.c, BFloat16());
        continue;
      }
      std::fill(to, to + left * g.c, BFloat16());
      x.copy((top + row) * g.w, right - left, to + left * g.c);
      std::fill(to + right * g.c, to + width * g.c, BFloat16());
    }
    return copy;
  }
  // Rows of outputs that are computed together: their input fits the L2 cache. The filters are read once for
  // all.
  std::int64_t at_once(const ConvGeometry& g) const {
    constexpr std::int64_t most = 192 * 1024;  // values
    return std::clamp<std::int64_t>(most / std::max<std::int64_t>(span * width * g.c, 1), 1, 16);
  }
  // The input of a later row of outputs: the caches fetch it meanwhile.
  Bf16Ahead ahead(const ConvGeometry& g, const Pixels& x, std::int64_t row_out) const {
    if (!whole || row_out >= g.n * g.h_out) return {};
    return {x.data + (row_out / g.h_out * g.h + row_out % g.h_out * g.stride.h) * g.w * g.c,
            span * g.w * g.c};
  }
};

// Packs a whole panel of outputs in the order that the register tiles read: it transposes 16 pairs at a time.
void pack_panel_by_pairs(const BFloat16* weight, const RowPlan& rows, BFloat16* to) {
  for (std::int64_t e = 0; e < rows.elements; e += 32, to += 16 * 2 * bf16_block)
    for (std::int64_t half = 0; half < 2; ++half)
      transpose_pairs(weight + 16 * half * rows.elements + e, rows.elements, to + 32 * half, 2 * bf16_block);
}

// Writes the first `outputs` values of a panel, which may hold more.
void pack_panel_by_values(const BFloat16* weight, std::int64_t outputs, const RowPlan& rows, BFloat16* to) {
  std::int64_t first = 0;
  for (const Run& run : rows.runs) {
    for (std::int64_t e = 0; e < run.length; e += 2)
      for (std::int64_t k = 0; k < bf16_block; ++k)
        for (std::int64_t i = e; i < e + 2; ++i)
          *to++ = k < outputs && i < run.length ? weight[k * rows.elements + first + i] : BFloat16();
    first += run.length;
  }
}

// Panels of outputs: each has outputs of one group.
struct OutputPanels {
  std::int64_t outputs, in_group, count;

  explicit OutputPanels(const ConvGeometry& g)
      : outputs(g.k / g.groups), in_group(ceil_div(outputs, bf16_block)), count(in_group * g.groups) {}
  std::int64_t group(std::int64_t panel) const { return panel / in_group; }
  std::int64_t first(std::int64_t panel) const {
    return group(panel) * outputs + panel % in_group * bf16_block;
  }
  std::int64_t size(std::int64_t panel) const {
    return std::min(bf16_block, outputs - panel % in_group * bf16_block);
  }
};

// Filters as the register tiles read them: [panel][pair][32][2]. pack(panel, to) writes one panel.
template <class Pack>
Tensor pack_panels(const OutputPanels& panels, const RowPlan& rows, Pack pack) {
  const std::int64_t panel_size = rows.pairs * 2 * bf16_block;
  Tensor packed = empty({panels.count * panel_size}, {.dtype = bf16});
  parallel_for(panels.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel)
      pack(panel, packed.data<BFloat16>() + panel * panel_size);
  });
  return packed;
}

// From weights [outputs][elements of the runs], or the form of an earlier call if it is to be kept.
Tensor pack_filters(const ConvGeometry& g, const Tensor& weight, const RowPlan& rows, bool keep) {
  const OutputPanels panels(g);
  const bool whole_pairs = 2 * rows.pairs == rows.elements && rows.elements % 32 == 0;
  const auto pack = [&] {
    const BFloat16* const weights = weight.data<BFloat16>();
    return pack_panels(panels, rows, [&](std::int64_t panel, BFloat16* to) {
      const BFloat16* const from = weights + panels.first(panel) * rows.elements;
      if (whole_pairs && panels.size(panel) == bf16_block) {
        pack_panel_by_pairs(from, rows, to);
      } else {
        pack_panel_by_values(from, panels.size(panel), rows, to);
      }
    });
  };
  const FilterKey key{3,          weight.impl()->offset,
                      g.k,        g.c,
                      g.groups,   g.kernel.h,
                      g.kernel.w, static_cast<std::int64_t>(rows.runs.size())};
  return keep && used_before(weight, key) ? kept_filters(weight, key, pack) : pack();
}

// The filters of the gradient in the input: from weights [k][tap][c] of a group, where c are the outputs now
// and taps come in the other order. Taps are kept apart.
Tensor pack_turned_filters(const ConvGeometry& t, const Tensor& weight, const RowPlan& rows, bool keep) {
  const OutputPanels panels(t);
  const auto taps = static_cast<std::int64_t>(rows.runs.size());
  const std::int64_t k = rows.runs.front().length, filter = taps * panels.outputs;
  const auto pack = [&] {
    const BFloat16* const weights = weight.data<BFloat16>();
    return pack_panels(panels, rows, [&](std::int64_t panel, BFloat16* to) {
      const std::int64_t group = panels.group(panel), c = panels.first(panel) - group * panels.outputs;
      for (std::int64_t tap = taps - 1; tap >= 0; --tap, to += ceil_div(k, 2) * 2 * bf16_block)
        bf16_interleave(weights + group * k * filter + tap * panels.outputs + c, filter, k,
                        panels.size(panel), to, 2 * bf16_block, bf16_block);
    });
  };
  const FilterKey key{6, weight.impl()->offset, t.k, t.c, t.groups, t.kernel.h, t.kernel.w};
  return keep && used_before(weight, key) ? kept_filters(weight, key, pack) : pack();
}

// One f32 value per output, and a panel more: outputs that are `period` apart have the same.
std::vector<float> spread(const Tensor& values, std::int64_t outputs, std::int64_t period, float undefined) {
  std::vector<float> out(static_cast<std::size_t>(outputs + bf16_block), undefined);
  if (values.defined())
    for (std::int64_t k = 0; k < outputs; ++k)
      out[static_cast<std::size_t>(k)] = values.data<float>()[k % period];
  return out;
}

// Whether y is written by non-temporal stores: it has whole lines and is too large to stay in the caches.
bool nontemporal_stores(const Tensor& y, std::int64_t outputs) {
  return y.numel() >= nontemporal_floats && outputs % bf16_block == 0 &&
         reinterpret_cast<std::uintptr_t>(std::as_const(y).data<BFloat16>()) % 64 == 0;
}

// Whether each input belongs to one output.
bool side_by_side(const ConvGeometry& g) {
  return g.groups == 1 && g.kernel == g.stride && g.dilation == Pair(1) && g.padding == Pair(0) &&
         g.h == g.h_out * g.stride.h && g.w == g.w_out * g.stride.w;
}

// The convolution of dy that is the gradient in the input of one with stride 1.
ConvGeometry turned(const ConvGeometry& g) {
  ConvGeometry t = g;
  std::swap(t.h, t.h_out);
  std::swap(t.w, t.w_out);
  std::swap(t.c, t.k);
  t.padding = {(g.kernel.h - 1) * g.dilation.h - g.padding.h, (g.kernel.w - 1) * g.dilation.w - g.padding.w};
  return t;
}
bool turns(const ConvGeometry& g) {
  const ConvGeometry t = turned(g);
  return g.stride == Pair(1) && t.padding.h >= 0 && t.padding.w >= 0 && !mostly_padding(t);
}

}  // namespace

const char* conv2d_direct_bf16_refuse(ConvDirection direction, const ConvGeometry& g, DType dtype) {
  if (dtype != bf16) return "is written for bf16";
  if (!has_bf16_dot()) return "the processor has no dot products of bf16";
  if (g.groups != 1) {
    constexpr std::int64_t few = 8;
    if (std::max(g.c, g.k) <= few * g.groups) return "groups have few channels";
    if (direction == ConvDirection::backward_weight) return "the channels are in groups";
  }
  if (mostly_padding(g)) return "the image is mostly padding";
  if (direction == ConvDirection::backward_data && !side_by_side(g) && !turns(g))
    return "filters overlap or leave gaps";
  return nullptr;
}

namespace {

// A convolution whose outputs read one pixel each knows no images: its pixels are cut into rows that suit the
// register tiles and the threads. The last row may be shorter.
ConvGeometry in_rows(const ConvGeometry& g) {
  if (g.kernel != Pair(1) || g.stride != Pair(1) || g.padding != Pair(0)) return g;
  const std::int64_t pixels = g.n * g.h * g.w;
  ConvGeometry rows = g;
  rows.n = 1;
  rows.w = rows.w_out = std::min(pixels, std::clamp<std::int64_t>(ceil_div(pixels, 16), 14, 56));
  rows.h = rows.h_out = ceil_div(pixels, std::max<std::int64_t>(rows.w, 1));
  return rows;
}

// Sums begin with `bias`, or outputs are max(scale sum + shift, floor) by `affine`. `finish` follows.
void convolve(const ConvGeometry& g, const RowPlan& rows, const Tensor& packed, const Tensor& x,
              const float* bias, const Epilogue* affine, const FinishPass& finish, Tensor& y) {
  const Pixels in(x);
  const std::int64_t outputs_in_all = y.numel() / std::max<std::int64_t>(g.k, 1);
  const OutputPanels panels(g);
  BFloat16* to = y.data<BFloat16>();
  const bool nontemporal = nontemporal_stores(y, panels.outputs) && !finish.needed();
  const std::int64_t copy_size = rows.copy_size(g, in);
  parallel_for(g.n * g.h_out, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t most = std::min(rows.at_once(g), end - begin);
    BFloat16* const copies = bf16_scratch(most * copy_size, 0);
    std::vector<const BFloat16*> from(static_cast<std::size_t>(most));
    for (std::int64_t first = begin; first < end; first += most) {
      const std::int64_t count = std::min(most, end - first);
      for (std::int64_t i = 0; i < count; ++i)
        from[static_cast<std::size_t>(i)] = rows.at(g, in, first + i, copies + i * copy_size);
      for (std::int64_t task = 0; task < panels.count * count; ++task) {
        const std::int64_t panel = task / count, i = task % count, row = first + i, k = panels.first(panel);
        const std::int64_t cols = std::min(g.w_out, outputs_in_all - row * g.w_out);
        Epilogue epilogue{};
        if (affine) epilogue = {affine->scale + k, affine->shift + k, affine->floor};
        bf16_forward_tiles({.x = from[static_cast<std::size_t>(i)] + panels.group(panel) * (g.c / g.groups),
                            .x_pixel = g.stride.w * g.c,
                            .runs = rows.runs.data(),
                            .run_count = static_cast<std::int64_t>(rows.runs.size()),
                            .filter = packed.data<BFloat16>() + panel * rows.pairs * 2 * bf16_block,
                            .y_pixel = g.k,
                            .cols = cols,
                            .outputs = panels.size(panel),
                            .bias = bias ? bias + k : nullptr,
                            .accumulate = false,
                            .epilogue = affine ? &epilogue : nullptr,
                            .nontemporal = nontemporal,
                            .next = rows.ahead(g, in, row + count).share(panel, panel + 1, panels.count)},
                           to + row * g.w_out * g.k + k);
        if (finish.needed())
          finish.run(to + row * g.w_out * g.k + k,
                     {.channels = panels.size(panel), .pixels = cols, .pixel_step = g.k});
      }
    }
    if (nontemporal) hwy::FlushStream();  // before another thread may read it
  });
}

}  // namespace

void conv2d_direct_bf16(const ConvGeometry& images, const ConvHints& hints, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, Tensor& y) {
  const ConvGeometry g = in_rows(images);
  const RowPlan rows(g);
  convolve(g, rows, pack_filters(g, weight, rows, hints.keep_filters), x, spread(bias, g.k, g.k, 0).data(),
           nullptr, {}, y);
}

void conv2d_affine_direct_bf16(const ConvGeometry& images, const ConvHints& hints, const Tensor& x,
                               const Tensor& weight, const Tensor& scale, const Tensor& shift,
                               const ConvFinish& finish, Tensor& y) {
  const ConvGeometry g = in_rows(images);
  const std::vector<float> scales = spread(scale, g.k, g.k, 1), shifts = spread(shift, g.k, g.k, 0);
  const FinishPlan plan(finish, none_or_relu(finish.activation));
  const Epilogue affine{
      scales.data(), shifts.data(),
      plan.in_registers == ActivationKind::relu ? 0.0f : -std::numeric_limits<float>::infinity()};
  const RowPlan rows(g);
  convolve(g, rows, pack_filters(g, weight, rows, hints.keep_filters), x, nullptr, &affine, {plan.after, y},
           y);
}

namespace {

// The filters of the gradient in the input, packed row by row. They are paired as the pixels of dy are: [row
// of the filter][panel][pair][32][2].
Tensor pack_filter_rows(const ConvGeometry& g, const BFloat16* weight, std::int64_t panels) {
  const std::int64_t side = g.kernel.w * g.c, panel_size = ceil_div(g.k, 2) * 2 * bf16_block;
  Tensor packed = empty({g.kernel.h * panels * panel_size}, {.dtype = bf16});
  parallel_for(g.kernel.h * panels, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t i = task / panels, first = task % panels * bf16_block;
      bf16_interleave(weight + i * side + first, g.kernel.h * side, g.k, std::min(bf16_block, side - first),
                      packed.data<BFloat16>() + task * panel_size, 2 * bf16_block, bf16_block);
    }
  });
  return packed;
}

// Every pixel of dy is multiplied by its whole filter, whose rows are side by side in dx.
void multiply_filters(const ConvGeometry& g, const Tensor& dy, const Tensor& weight, const Tensor& bias,
                      Tensor& dx) {
  const std::int64_t side = g.kernel.w * g.c, panels = ceil_div(side, bf16_block), width = g.w_out * g.k;
  const std::int64_t panel_size = ceil_div(g.k, 2) * 2 * bf16_block, count = g.n * g.h_out;
  const std::vector<Run> runs{{.offset = 0, .length = g.k}};
  const Tensor packed = pack_filter_rows(g, weight.data<BFloat16>(), panels);
  const std::vector<float> start = spread(bias, side, g.c, 0);
  const Pixels in(dy);
  BFloat16* to = dx.data<BFloat16>();
  const bool nontemporal = nontemporal_stores(dx, side);
  parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    BFloat16* copy = bf16_scratch(in.in_memory() ? 0 : width, 0);
    for (std::int64_t row = begin; row < end; ++row) {
      const BFloat16* from = in.read(row * g.w_out, g.w_out, copy);
      const Bf16Ahead ahead{in.data + std::min(row + 1, count - 1) * width, width};
      for (std::int64_t task = 0; task < g.kernel.h * panels; ++task) {
        const std::int64_t i = task / panels, panel = task % panels;
        bf16_forward_tiles({.x = from,
                            .x_pixel = g.k,
                            .runs = runs.data(),
                            .run_count = 1,
                            .filter = packed.data<BFloat16>() + task * panel_size,
                            .y_pixel = side,
                            .cols = g.w_out,
                            .outputs = std::min(bf16_block, side - panel * bf16_block),
                            .bias = start.data() + panel * bf16_block,
                            .accumulate = false,
                            .nontemporal = nontemporal,
                            .next = ahead.share(task, task + 1, g.kernel.h * panels)},
                           to + (row * g.kernel.h + i) * g.w * g.c + panel * bf16_block);
      }
    }
    if (nontemporal) hwy::FlushStream();  // before another thread may read it
  });
}

}  // namespace

void conv2d_backward_data_direct_bf16(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                                      const Tensor& weight, const Tensor& bias, Tensor& dx) {
  if (side_by_side(g) && (g.stride != Pair(1) || !hints.keep_filters))
    return multiply_filters(g, dy, weight, bias, dx);
  const ConvGeometry t = in_rows(turned(g));
  const RowPlan rows(t, true);
  convolve(t, rows, pack_turned_filters(t, weight, rows, hints.keep_filters), dy,
           spread(bias, g.c, g.c, 0).data(), nullptr, {}, dx);
}

namespace {

// The plan of the gradient in the weights, and the work itself. A stage covers some rows of outputs, or some
// columns of one row. It copies them into pairs of pixels: x into panels of 32 elements of the filter, dy
// into panels of outputs. A register tile multiplies an output by a panel of x. The sums of two panels,
// [outputs][32], thus have the order of the weights.
struct DirectBf16WeightPlan {
  const ConvGeometry& g;
  const RowPlan& rows;
  const Pixels &x, &dy;
  BFloat16* dweight;
  std::int64_t x_panels = ceil_div(rows.elements, bf16_block);
  std::int64_t dy_width = std::min(g.k, most_panel), dy_panels = ceil_div(g.k, dy_width);
  std::int64_t size = x_panels * g.k * bf16_block;  // floats in all sums: [panel of x][output][32]
  std::int64_t count = g.n * g.h_out;               // rows of outputs
  // Depends on the sizes alone, because chunks fix the order of additions.
  std::int64_t chunks = std::min({most_sums / size, most_chunks, count});
  bool shared = chunks < std::min(most_chunks, count);
  std::int64_t most_pairs = shared ? shared_pairs : call_pairs;
  std::int64_t cols = ceil_div(g.w_out, ceil_div(g.w_out, 2 * most_pairs)), row_pairs = ceil_div(cols, 2);
  std::int64_t stage_rows = std::min(std::max<std::int64_t>(most_pairs / row_pairs, 1), count);
  std::int64_t x_panel_size = stage_rows * row_pairs * 2 * bf16_block + skew;
  std::int64_t dy_panel_size = stage_rows * row_pairs * 2 * dy_width + skew;

  std::int64_t outputs_in(std::int64_t p) const { return std::min(dy_width, g.k - p * dy_width); }
  std::int64_t sums_offset(std::int64_t p, std::int64_t b) const {
    return (b * g.k + p * dy_width) * bf16_block;
  }

  struct Stage {
    std::int64_t row, rows, first, cols;
    std::int64_t pairs() const { return rows * ceil_div(cols, 2); }
  };
  // Calls f(stage) for all of the rows [begin, end).
  template <class F>
  void for_stages(std::int64_t begin, std::int64_t end, F f) const {
    for (std::int64_t row = begin; row < end; row += stage_rows)
      for (std::int64_t first = 0; first < g.w_out; first += cols)
        f(Stage{row, std::min(stage_rows, end - row), first, std::min(cols, g.w_out - first)});
  }

  // The i-th row of a stage; an odd last pixel is paired with zeros.
  void split(const Stage& stage, std::int64_t i, BFloat16* xs, BFloat16* dys) const {
    const std::int64_t row = stage.row + i, pair = i * ceil_div(stage.cols, 2);
    const std::int64_t step = g.stride.w * g.c;
    const BFloat16* in = rows.at(g, x, row, bf16_scratch(rows.copy_size(g, x), 0)) + stage.first * step;
    std::int64_t e = 0;
    for (const Run& run : rows.runs)
      for (std::int64_t at = 0, n = 0; at < run.length; at += n, e += n) {
        n = std::min(run.length - at, bf16_block - e % bf16_block);
        bf16_interleave(in + run.offset + at, step, stage.cols, n,
                        xs + e / bf16_block * x_panel_size + pair * 2 * bf16_block + 2 * (e % bf16_block),
                        2 * bf16_block, n);
      }
    const BFloat16* grad = dy.read(row * g.w_out + stage.first, stage.cols,
                                   bf16_scratch(dy.in_memory() ? 0 : stage.cols * g.k, 1));
    for (std::int64_t p = 0; p < dy_panels; ++p)
      bf16_interleave(grad + p * dy_width, g.k, stage.cols, outputs_in(p),
                      dys + p * dy_panel_size + pair * 2 * dy_width, 2 * dy_width, outputs_in(p));
  }

  void multiply(const Stage& stage, std::int64_t p, std::int64_t b, const BFloat16* xs, const BFloat16* dys,
                float* sums) const {
    for (std::int64_t pair = 0; pair < stage.pairs(); pair += call_pairs)
      bf16_weight_tiles({.x = dys + p * dy_panel_size + pair * 2 * dy_width,
                         .x_pair = 2 * dy_width,
                         .elements = outputs_in(p),
                         .dy = xs + b * x_panel_size + pair * 2 * bf16_block,
                         .pairs = std::min(call_pairs, stage.pairs() - pair),
                         .sums = sums});
  }

  void finish(std::int64_t p, std::int64_t b, const float* sums) const {
    for (std::int64_t k = 0; k < outputs_in(p); ++k)
      bf16_rounded(sums + k * bf16_block, std::min(bf16_block, rows.elements - b * bf16_block),
                   dweight + (p * dy_width + k) * rows.elements + b * bf16_block);
  }

  // Few weights: threads share out the pixels.
  void run_chunks() const {
    const auto fill = [&](std::int64_t chunk, float* sums) {
      BFloat16* const xs = bf16_scratch(x_panels * x_panel_size, 2);
      BFloat16* const dys = bf16_scratch(dy_panels * dy_panel_size, 3);
      std::fill_n(sums, size, 0.0f);
      for_stages(chunk * count / chunks, (chunk + 1) * count / chunks, [&](const Stage& stage) {
        for (std::int64_t i = 0; i < stage.rows; ++i) split(stage, i, xs, dys);
        for (std::int64_t b = 0; b < x_panels; ++b)
          for (std::int64_t p = 0; p < dy_panels; ++p)
            multiply(stage, p, b, xs, dys, sums + sums_offset(p, b));
      });
    };
    const auto range = [&](std::int64_t i) {
      return SumRange{sums_offset(i % dy_panels, i / dy_panels), outputs_in(i % dy_panels) * bf16_block};
    };
    sum_in_chunks(chunks, size, x_panels * dy_panels, fill, range,
                  [&](std::int64_t i, const float* sums) { finish(i % dy_panels, i / dy_panels, sums); });
  }

  // Many weights: all threads copy a stage into panels, then share out the pairs of panels.
  void run_shared() const {
    Tensor partial = empty({size});
    Tensor panels = empty({x_panels * x_panel_size + dy_panels * dy_panel_size}, {.dtype = bf16});
    float* const partial_sums = partial.data<float>();
    BFloat16* const xs = panels.data<BFloat16>();
    BFloat16* const dys = xs + x_panels * x_panel_size;
    for_stages(0, count, [&](const Stage& stage) {
      parallel_for(stage.rows, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) split(stage, i, xs, dys);
      });
      const bool first = stage.row == 0 && stage.first == 0,
                 last = stage.row + stage.rows == count && stage.first + stage.cols == g.w_out;
      parallel_for(dy_panels * x_panels, 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t p = task / x_panels, b = task % x_panels;
          float* sums = partial_sums + sums_offset(p, b);
          if (first) std::fill_n(sums, outputs_in(p) * bf16_block, 0.0f);
          multiply(stage, p, b, xs, dys, sums);
          if (last) finish(p, b, sums);
        }
      });
    });
  }
};

}  // namespace

void conv2d_backward_weight_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                        Tensor& dweight) {
  if (g.n * g.h_out * g.w_out == 0) {
    dweight.fill_(0);
    return;
  }
  const RowPlan rows(g);
  const Pixels in(x), grad(dy);
  const DirectBf16WeightPlan plan{
      .g = g, .rows = rows, .x = in, .dy = grad, .dweight = dweight.data<BFloat16>()};
  plan.shared ? plan.run_shared() : plan.run_chunks();
}

}  // namespace karyon::cpu
