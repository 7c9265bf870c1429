// Direct convolution for every geometry, forward and transposed, from one idea: a sum over filter taps, each
// a shifted view of the input. A task copies the input of a chunk of output rows into dense memory with zeros
// around the image, which stays in the L2 cache. The inner loops so know no borders, strides or dilations. It
// then computes the outputs in register tiles (tiles.cpp). The gradient in the input is the same sum with
// other taps: for stride s it falls into s x s interleaved grids of outputs, each with the taps that reach
// it.
#include <algorithm>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/chunks.h>
#include <karyon/core/cpu/conv/direct.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/taps.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

// Copies the input of a chunk's rows of outputs, for one image and stage. Around the image there are zeros,
// unless nothing is read there.
void copy_input(const DirectPlan& p, const DirectPlan::Chunk& chunk, std::int64_t image, std::int64_t stage,
                float* to) {
  const TapConv& t = p.t;
  const std::int64_t c0 = p.first_channel(stage), c = p.channels_in(stage);
  const std::int64_t top = p.top(chunk), height = p.copied_rows(chunk);
  const std::int64_t left = std::clamp<std::int64_t>(-p.left, 0, p.copy_w);
  const std::int64_t right = std::clamp<std::int64_t>(t.in_w - p.left, left, p.copy_w);
  for (std::int64_t r = 0; r < height; ++r, to += p.copy_w * c) {
    const std::int64_t row = top + r;
    if (row < 0 || row >= t.in_h || left == right) {
      std::fill(to, to + p.copy_w * c, 0.0f);
      continue;
    }
    std::fill(to, to + left * c, 0.0f);
    const float* from = t.in + ((image * t.in_h + row) * t.in_w + left + p.left) * t.in_channels + t.c0 + c0;
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
  std::vector<DirectPlan::Patch> patches;
};

ChunkInput read_chunk(const DirectPlan& p, const DirectPlan::Chunk& chunk, std::int64_t stage) {
  const TapConv& t = p.t;
  const std::int64_t c = p.channels_in(stage), pixel = p.in_place ? t.in_channels : c,
                     row = (p.in_place ? t.in_w : p.copy_w) * pixel;
  const std::int64_t image = p.in_place ? t.in_h * row : p.copy_size;
  std::vector<DirectPlan::Patch> patches = p.patches(chunk, c, row, pixel);
  if (p.in_place) {
    const float* const x = t.in + chunk.first_image * image + p.top(chunk) * row + p.left * pixel + t.c0 +
                           p.first_channel(stage);
    return {x, row, pixel, image, std::move(patches)};
  }
  float* const copies = scratch(p.images * p.copy_size, 0);
  for (std::int64_t i = chunk.first_image; i < chunk.last_image; ++i)
    copy_input(p, chunk, i, stage, copies + (i - chunk.first_image) * p.copy_size);
  return {copies, row, pixel, image, std::move(patches)};
}

// What follows the sums.
struct LastSteps {
  bool in_tiles = false;
  TileFinish tiles = {};  // its pointers are those of the first output
  FinishPass after = {};

  // For a panel whose first output is out[at], in channel k.
  TileFinish from(std::int64_t k, std::int64_t at) const {
    TileFinish f = tiles;
    if (f.scale) f.scale += k;
    if (f.shift) f.shift += k;
    if (f.residual) f.residual += at;
    return f;
  }
};

// Grids that read the same input in the same way: a task copies it once for all of them.
struct DirectConv {
  const std::vector<TapConv>& grids;
  const DirectPlan& p;
  const std::vector<Tensor>& filters;  // packed, of each grid
  const float* bias;
  const LastSteps& last;
  float* out;
  bool nontemporal = !last.after.needed() &&
                     p.t.n * p.t.out_h * p.t.out_w * p.t.out_channels >= nontemporal_floats &&
                     p.stages == 1 && p.t.out_channels % 16 == 0 && p.t.k % p.width == 0 &&
                     p.t.k0 % 16 == 0 && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;

  // One panel of outputs of a chunk, for all grids and images.
  void multiply(const DirectPlan::Chunk& chunk, std::int64_t stage, const ChunkInput& in,
                std::int64_t panel) const {
    const std::int64_t k0 = panel * p.width, filter = p.packed_offset(panel, stage);
    for (std::size_t i = 0; i < grids.size(); ++i) {
      const TapConv& grid = grids[i];
      for (std::int64_t image = chunk.first_image; image < chunk.last_image; ++image)
        for (const DirectPlan::Patch& patch : in.patches) {
          float* const y = out + grid.out_offset(image, chunk.first_row + patch.row, patch.col) + k0;
          const std::int64_t y_row = grid.out_step.h * grid.out_w * grid.out_channels,
                             y_pixel = grid.out_step.w * grid.out_channels;
          const TileFinish finish = last.from(grid.k0 + k0, y - out);
          conv_forward_tiles(
              {.x = in.x + (image - chunk.first_image) * in.image,
               .x_row = p.t.step.h * in.row,
               .x_pixel = p.t.step.w * in.pixel,
               .runs = patch.runs.data(),
               .run_count = static_cast<std::int64_t>(patch.runs.size()),
               .filter = filters[i].data<float>() + filter,
               .y = y,
               .y_row = y_row,
               .y_pixel = y_pixel,
               .rows = patch.rows,
               .cols = patch.cols,
               .outputs = p.outputs_in(panel),
               .bias = bias && stage == 0 ? bias + grid.k0 + k0 : nullptr,
               .accumulate = stage > 0,
               .finish = last.in_tiles && stage + 1 == p.stages ? &finish : nullptr,
               .nontemporal = nontemporal,
               .ahead = panel + 1 < p.panels ? p.packed_offset(panel + 1, stage) - filter : 0});
          if (last.after.needed() && stage + 1 == p.stages)
            last.after.run(y, {.channels = p.outputs_in(panel),
                               .pixels = patch.cols,
                               .pixel_step = y_pixel,
                               .rows = patch.rows,
                               .row_step = y_row});
        }
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

void convolve(const std::vector<TapConv>& grids, const Weights& weights, const float* bias,
              const LastSteps& last, float* out) {
  const TapConv& t = grids.front();
  if (t.n == 0 || t.rows == 0 || t.cols == 0) return;
  if (t.taps.empty()) return fill_with_bias(grids, bias, out);
  const DirectPlan plan(t);
  std::vector<Tensor> filters;
  for (const TapConv& grid : grids) filters.push_back(packed_filter(grid, plan, weights));
  DirectConv{.grids = grids, .p = plan, .filters = filters, .bias = bias, .last = last, .out = out}.run();
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
          .tap_rows = reached(forward_taps(g.kernel.h, g.padding.h, g.dilation.h), g.stride.h, g.h, g.h_out),
          .tap_cols = reached(forward_taps(g.kernel.w, g.padding.w, g.dilation.w), g.stride.w, g.w, g.w_out),
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
  const Pair size{ceil_div(g.h - phase.h, g.stride.h), ceil_div(g.w - phase.w, g.stride.w)};
  return {.in = dy.data,
          .scale = dy.scale,
          .shift = dy.shift,
          .n = g.n,
          .in_h = g.h_out,
          .in_w = g.w_out,
          .in_channels = g.k,
          .c0 = group * kg,
          .c = kg,
          .tap_rows = reached(phase_taps(phase.h, g.kernel.h, g.stride.h, g.padding.h, g.dilation.h), 1,
                              g.h_out, size.h),
          .tap_cols = reached(phase_taps(phase.w, g.kernel.w, g.stride.w, g.padding.w, g.dilation.w), 1,
                              g.w_out, size.w),
          .rows = size.h,
          .cols = size.w,
          .out_h = g.h,
          .out_w = g.w,
          .out_channels = g.c,
          .k0 = group * cg,
          .k = cg,
          .out_origin = phase,
          .out_step = g.stride};
}

}  // namespace

namespace {

void forward(const ConvGeometry& images, const ConvHints& hints, const Tensor& x, const Tensor& weight,
             const Tensor& bias, const LastSteps& last, Tensor& y) {
  const ConvInput in = grouped_input(x, images.c / images.groups);
  const float* const added = bias.defined() ? bias.data<float>() : nullptr;
  for (const auto& [g, first] : in_wide_rows(images)) {
    ImagePart pixels = in.parts[0];
    pixels.data += first * g.c;
    LastSteps steps = last;
    if (steps.tiles.residual) steps.tiles.residual += first * g.k;
    float* const out = y.data<float>() + first * g.k;
    for_groups(g.groups, [&, &g = g](std::int64_t group) {
      convolve({forward_conv(g, pixels, group)},
               {.tensor = weight, .view = forward_view(g), .keep = hints.keep_filters}, added, steps, out);
    });
  }
}

}  // namespace

void conv2d_direct(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, Tensor& y) {
  forward(g, hints, x, weight, bias, {}, y);
}

void conv2d_affine_direct(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                          const Tensor& weight, const Tensor& scale, const Tensor& shift,
                          const ConvFinish& finish, Tensor& y) {
  if (forward_conv(g, {}, 0).taps.empty())  // nothing but padding
    return conv2d_affine_reference(g, hints, x, weight, scale, shift, finish, y);
  const auto values = [](const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; };
  const bool simple = SimpleActivation::is(finish.activation);
  const LastSteps last{
      .in_tiles = true,
      .tiles = {values(scale), values(shift), values(finish.residual),
                SimpleActivation(simple ? finish.activation : ActivationKind::none)},
      .after = FinishPass({.activation = simple ? ActivationKind::none : finish.activation}, y)};
  forward(g, hints, x, weight, {}, last, y);
}

namespace {

void backward_data(const ConvGeometry& g, const ConvHints& hints, const ImagePart& dy, const Tensor& weight,
                   const float* bias, float* dx) {
  for_groups(g.groups, [&](std::int64_t group) {
    std::vector<TapConv> alike;  // grids that are computed together
    const auto flush = [&] {
      if (!alike.empty())
        convolve(alike, {.tensor = weight, .view = transposed_view(g, group), .keep = hints.keep_filters},
                 bias, {}, dx);
      alike.clear();
    };
    for (std::int64_t ph = 0; ph < std::min(g.stride.h, g.h); ++ph)
      for (std::int64_t pw = 0; pw < std::min(g.stride.w, g.w); ++pw) {
        TapConv grid = transposed_conv(g, dy, group, {ph, pw});
        if (!alike.empty() && !read_alike(alike.front(), grid)) flush();
        alike.push_back(std::move(grid));
      }
    flush();
  });
}

}  // namespace

void conv2d_backward_data_direct(const ConvGeometry& images, const ConvHints& hints, const Tensor& dy,
                                 const Tensor& weight, const Tensor& bias, Tensor& dx) {
  const ConvInput in = grouped_input(dy, images.k / images.groups);
  const float* const added = bias.defined() ? bias.data<float>() : nullptr;
  for (const auto& [g, first] : in_wide_rows(images)) {
    ImagePart pixels = in.parts[0];
    pixels.data += first * g.k;
    backward_data(g, hints, pixels, weight, added, dx.data<float>() + first * g.c);
  }
}

}  // namespace karyon::cpu
