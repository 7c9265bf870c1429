// Convolution in small groups: f32 or bf16 in memory and f32 in registers. Groups have as many outputs as
// channels. In a depthwise convolution, where each channel is a group, a channel may have several outputs:
// the input is then repeated for each.
#include <algorithm>
#include <utility>

#include <karyon/core/cpu/conv/chunks.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/grouped.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/parallel.h>
#include <karyon/core/weight_cache.h>

namespace karyon::cpu {
namespace {

// Products that are worth a task of their own.
constexpr std::int64_t task_products = std::int64_t{1} << 18;

std::int64_t rows_in_task(std::int64_t products_of_row) {
  return std::max<std::int64_t>(1, task_products / std::max<std::int64_t>(1, products_of_row));
}

std::int64_t outputs_of_channel(const ConvGeometry& g) { return g.k / g.c; }
std::int64_t channels_of_group(const ConvGeometry& g) { return g.c / g.groups; }

// weight [K, kH, kW, group] as f32 [kH, kW, group, K]; for the gradient in the input its last two change
// places within each group: [kH, kW, outputs of the group, C].
Tensor packed_filter(const ConvGeometry& g, const Tensor& weight, bool transposed, bool keep) {
  const std::int64_t group = channels_of_group(g);
  const auto make = [&] {
    Tensor w = weight;
    if (w.dtype() != f32) kernels::convert(weight, w = empty(weight.shape()));
    const std::int64_t taps = g.kernel.h * g.kernel.w, size = taps * group;
    Tensor packed = empty({size, g.k});
    const float* const from = std::as_const(w).data<float>();
    float* const to = packed.data<float>();
    if (!transposed || group == 1) {
      conv_transpose(from, size, g.k, size, to, g.k);
    } else {
      for (std::int64_t k = 0; k < g.k; ++k)
        for (std::int64_t tap = 0; tap < taps; ++tap)
          std::copy_n(from + (k * taps + tap) * group, group,
                      to + (tap * group + k % group) * g.k + k / group * group);
    }
    return packed;
  };
  const FilterKey key{2, weight.impl()->offset, g.k, g.kernel.h, g.kernel.w, group, transposed ? 1 : 0};
  return keep && used_before(weight, key) ? kept_filters(weight, key, make) : make();
}

// x with every channel as often as it has outputs.
Tensor repeated(const ConvGeometry& g, const Tensor& x) {
  const std::int64_t times = outputs_of_channel(g), pixels = g.n * g.h * g.w;
  if (times == 1) return x;
  Tensor wide = empty({g.n, g.h, g.w, g.k}, {.dtype = x.dtype()});
  dispatch_mapped(x.dtype(), "conv2d", [&]<class S>() {
    const S* from = std::as_const(x).data<S>();
    S* to = wide.data<S>();
    parallel_for(pixels * g.c, 1 << 15, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) std::fill_n(to + i * times, times, from[i]);
    });
  });
  return wide;
}

// dx = the sums over each channel's outputs, + bias.
void add_outputs(const ConvGeometry& g, const Tensor& wide, const float* bias, Tensor& dx) {
  const std::int64_t times = outputs_of_channel(g);
  dispatch_mapped(dx.dtype(), "conv2d_backward_data", [&]<class S>() {
    const float* from = wide.data<float>();
    S* to = dx.data<S>();
    parallel_for(g.n * g.h * g.w, ceil_div(1 << 15, g.k), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t pixel = begin; pixel < end; ++pixel)
        for (std::int64_t c = 0; c < g.c; ++c) {
          float sum = bias ? bias[c] : 0;
          for (std::int64_t i = 0; i < times; ++i) sum += from[pixel * g.k + c * times + i];
          to[pixel * g.c + c] = static_cast<S>(sum);
        }
    });
  });
}

bool streams(const Tensor& y, std::int64_t channels) {
  return y.numel() >= nontemporal_floats && channels % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(y.data_ptr()) % 64 == 0;
}

// One row of outputs, and the last steps while it is in the cache.
template <class S>
void finished_row(const GroupedGrid& grid, std::int64_t row) {
  grouped_rows(grid, row, row + 1);
  const std::int64_t step = grid.out_step.w * grid.channels,
                     line =
                         row / grid.rows * grid.out_h + grid.out_origin.h + row % grid.rows * grid.out_step.h;
  grid.finish->run(static_cast<S*>(grid.out) + (line * grid.out_w + grid.out_origin.w) * grid.channels,
                   {.channels = grid.channels, .pixels = grid.cols, .pixel_step = step});
}

void run(const GroupedGrid& grid) {
  const auto taps = static_cast<std::int64_t>(grid.tap_rows.size() * grid.tap_cols.size());
  parallel_for(grid.n * grid.rows, rows_in_task(grid.cols * grid.channels * grid.group * taps),
               [&](std::int64_t begin, std::int64_t end) {
                 if (!grid.finish) return grouped_rows(grid, begin, end);
                 for (std::int64_t row = begin; row < end; ++row)
                   grid.dtype == bf16 ? finished_row<BFloat16>(grid, row) : finished_row<float>(grid, row);
               });
}

const float* values(const Tensor& x) { return x.defined() ? x.data<float>() : nullptr; }

void convolve(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
              const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y) {
  const Tensor filter = packed_filter(g, weight, false, hints.keep_filters), in = repeated(g, x);
  const FinishPlan plan(finish, SimpleActivation::is(finish.activation));
  const FinishPass pass(plan.after, y);
  run({.dtype = y.dtype(),
       .in = in.data_ptr(),
       .n = g.n,
       .in_h = g.h,
       .in_w = g.w,
       .channels = g.k,
       .step = g.stride,
       .tap_rows = forward_taps(g.kernel.h, g.padding.h, g.dilation.h),
       .tap_cols = forward_taps(g.kernel.w, g.padding.w, g.dilation.w),
       .group = channels_of_group(g),
       .filter = filter.data<float>(),
       .kernel_w = g.kernel.w,
       .out = y.data_ptr(),
       .rows = g.h_out,
       .cols = g.w_out,
       .out_h = g.h_out,
       .out_w = g.w_out,
       .scale = values(scale),
       .shift = values(shift),
       .activation = SimpleActivation(plan.in_registers),
       .finish = pass.needed() ? &pass : nullptr,
       .stream = streams(y, g.k) && !pass.needed()});
}

}  // namespace

const char* conv2d_grouped_refuse(const ConvGeometry& g, DType dtype) {
  const std::int64_t group = channels_of_group(g);
  if (g.groups == 1 || g.c == 0) return "the channels are one group";
  if (group > 1 && g.k != g.c) return "groups have not as many outputs as channels";
  if (group > std::min<std::int64_t>(8, simd_lanes()) || (group & (group - 1)) != 0)
    return "groups are not 1, 2, 4 or 8 channels";
  if (dtype != f32 && dtype != bf16) return "is written for f32 and bf16";
  return g.k < least_grouped ? "the channels fill no vector" : nullptr;
}

void conv2d_grouped(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                    const Tensor& bias, Tensor& y) {
  convolve(g, hints, x, weight, {}, bias, {}, y);
}

void conv2d_affine_grouped(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                           const Tensor& weight, const Tensor& scale, const Tensor& shift,
                           const ConvFinish& finish, Tensor& y) {
  convolve(g, hints, x, weight, scale, shift, finish, y);
}

// With a stride the inputs fall into stride.h x stride.w interleaved grids, each with the taps that reach it.
void conv2d_backward_data_grouped(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                                  const Tensor& weight, const Tensor& bias, Tensor& dx) {
  const Tensor filter = packed_filter(g, weight, true, hints.keep_filters);
  const bool several = outputs_of_channel(g) > 1;
  Tensor wide = several ? empty({g.n, g.h, g.w, g.k}) : dx, gradient = dy;
  if (several && dy.dtype() != f32) kernels::convert(dy, gradient = empty(dy.shape()));
  for (std::int64_t ph = 0; ph < std::min(g.stride.h, g.h); ++ph)
    for (std::int64_t pw = 0; pw < std::min(g.stride.w, g.w); ++pw)
      run({.dtype = wide.dtype(),
           .in = std::as_const(gradient).data_ptr(),
           .n = g.n,
           .in_h = g.h_out,
           .in_w = g.w_out,
           .channels = g.k,
           .tap_rows = phase_taps(ph, g.kernel.h, g.stride.h, g.padding.h, g.dilation.h),
           .tap_cols = phase_taps(pw, g.kernel.w, g.stride.w, g.padding.w, g.dilation.w),
           .group = channels_of_group(g),
           .filter = filter.data<float>(),
           .kernel_w = g.kernel.w,
           .out = wide.data_ptr(),
           .rows = ceil_div(g.h - ph, g.stride.h),
           .cols = ceil_div(g.w - pw, g.stride.w),
           .out_h = g.h,
           .out_w = g.w,
           .out_origin = {ph, pw},
           .out_step = g.stride,
           .shift = several ? nullptr : values(bias),
           .stream = streams(wide, g.k)});
  if (several) add_outputs(g, wide, values(bias), dx);
}

void conv2d_backward_weight_grouped(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                    Tensor& dweight) {
  const Tensor in = repeated(g, x);
  const GroupedGradient gradient{.dtype = x.dtype(),
                                 .x = in.data_ptr(),
                                 .dy = dy.data_ptr(),
                                 .n = g.n,
                                 .h = g.h,
                                 .w = g.w,
                                 .h_out = g.h_out,
                                 .w_out = g.w_out,
                                 .channels = g.k,
                                 .stride = g.stride,
                                 .tap_rows = forward_taps(g.kernel.h, g.padding.h, g.dilation.h),
                                 .tap_cols = forward_taps(g.kernel.w, g.padding.w, g.dilation.w),
                                 .group = channels_of_group(g)};
  // Chunks fix the order of additions, so they depend on the sizes alone.
  constexpr std::int64_t most_chunks = 16;
  const std::int64_t size = gradient.sum_rows(), rows = g.n * g.h_out;
  const std::int64_t chunks =
      std::clamp<std::int64_t>(rows / rows_in_task(g.w_out * g.k * size), 1, most_chunks);
  const std::int64_t lanes = simd_lanes(), whole = g.k / lanes * lanes;
  dispatch_mapped(dweight.dtype(), "conv2d_backward_weight", [&]<class S>() {
    S* const out = dweight.data<S>();
    sum_in_chunks(
        chunks, gradient.sums_size(), size,
        [&](std::int64_t chunk, float* sums) {
          const Share share(chunk, chunks, rows);
          grouped_sums(gradient, share.begin, share.end, sums);
        },
        [&](std::int64_t tap) {
          return SumRange{tap * gradient.row_size(), gradient.row_size()};
        },
        [&](std::int64_t i, const float* sums) {
          for (std::int64_t k = 0; k < g.k; ++k)
            out[k * size + i] = static_cast<S>(sums[k < whole ? k : whole + lanes - (g.k - k)]);
        });
  });
}

}  // namespace karyon::cpu
