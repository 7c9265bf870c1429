// Direct convolution of bf16 by dot products of pairs: of neighbouring values of a pixel forward, of two
// pixels in the sum for the weights. Rows of the input that padding reaches into are copied into a block with
// zeros around it.
#include <algorithm>
#include <cstdint>
#include <vector>

#include <karyon/core/cpu/bf16_tiles.h>
#include <karyon/core/cpu/conv.h>
#include <karyon/core/cpu/scratch.h>
#include <karyon/core/cpu/winograd_bf16.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t segment_pixels = 112;  // whose pairs the sums for the weights take at once

BFloat16* bf16_scratch(std::int64_t count, int slot) {
  return reinterpret_cast<BFloat16*>(scratch(ceil_div(count, 2), slot));
}

// How the input under one row of outputs is read.
struct Rows {
  bool in_place;                         // where it lies: no padding
  std::int64_t width;                    // pixels in a row of the block
  std::vector<Run> runs;                 // from the first output's input
  std::int64_t elements = 0, pairs = 0;  // of the runs

  explicit Rows(const ConvGeometry& g) : in_place(g.padding.h == 0 && g.padding.w == 0) {
    width = in_place ? g.w : (g.w_out - 1) * g.stride.w + (g.kernel.w - 1) * g.dilation.w + 1;
    const std::int64_t side_by_side = g.dilation.w == 1 ? g.kernel.w : 1;
    const std::int64_t row = width * g.c * (in_place ? g.dilation.h : 1);
    for (std::int64_t i = 0; i < g.kernel.h; ++i)
      for (std::int64_t j = 0; j < g.kernel.w; j += side_by_side)
        runs.push_back({i * row + j * g.dilation.w * g.c, side_by_side * g.c});
    for (const Run& run : runs) {
      elements += run.length;
      pairs += ceil_div(run.length, 2);
    }
  }
  std::int64_t block_size(const ConvGeometry& g) const { return in_place ? 0 : g.kernel.h * width * g.c; }

  // The input of row oh of the outputs of an image.
  const BFloat16* at(const ConvGeometry& g, const BFloat16* x, std::int64_t image, std::int64_t oh,
                     BFloat16* block) const {
    const BFloat16* from = x + image * g.h * g.w * g.c;
    if (in_place) return from + oh * g.stride.h * g.w * g.c;
    const std::int64_t left = std::min(g.padding.w, width),
                       right = std::clamp(g.padding.w + g.w, left, width);
    BFloat16* to = block;
    for (std::int64_t i = 0; i < g.kernel.h; ++i, to += width * g.c) {
      const std::int64_t row = oh * g.stride.h - g.padding.h + i * g.dilation.h;
      if (row < 0 || row >= g.h) {
        std::fill_n(to, width * g.c, BFloat16());
        continue;
      }
      std::fill(to, to + left * g.c, BFloat16());
      std::copy_n(from + row * g.w * g.c, (right - left) * g.c, to + left * g.c);
      std::fill(to + right * g.c, to + width * g.c, BFloat16());
    }
    return block;
  }
};

// Filters as the tiles read them, [block of outputs][pair][32][2], from weights [outputs][elements of the
// runs].
Tensor pack_filters(const BFloat16* weight, std::int64_t outputs, const Rows& rows) {
  const std::int64_t blocks = ceil_div(outputs, bf16_block), elements = rows.elements;
  const bool whole = 2 * rows.pairs == elements && elements % 32 == 0;  // pairs as they lie, 16 at a time
  Tensor packed = empty({blocks * rows.pairs * 2 * bf16_block}, {.dtype = bf16});
  parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      BFloat16* to = packed.data<BFloat16>() + block * rows.pairs * 2 * bf16_block;
      const std::int64_t k0 = block * bf16_block;
      if (whole && k0 + bf16_block <= outputs) {
        for (std::int64_t e = 0; e < elements; e += 32, to += 16 * 2 * bf16_block)
          for (std::int64_t half = 0; half < 2; ++half)
            transpose_pairs(weight + (k0 + 16 * half) * elements + e, elements, to + 32 * half,
                            2 * bf16_block);
        continue;
      }
      std::int64_t first = 0;
      for (const Run& run : rows.runs) {
        for (std::int64_t e = 0; e < run.length; e += 2)
          for (std::int64_t k = k0; k < k0 + bf16_block; ++k)
            for (std::int64_t i = e; i < e + 2; ++i)
              *to++ = k < outputs && i < run.length ? weight[k * elements + first + i] : BFloat16();
        first += run.length;
      }
    }
  });
  return packed;
}

// One f32 value per output, of every `period`-th the same; undefined is 0.
std::vector<float> spread_bias(const Tensor& bias, std::int64_t outputs, std::int64_t period) {
  std::vector<float> out(static_cast<std::size_t>(ceil_div(outputs, bf16_block) * bf16_block), 0.0f);
  if (bias.defined())
    for (std::int64_t k = 0; k < outputs; ++k)
      out[static_cast<std::size_t>(k)] = bias.data<float>()[k % period];
  return out;
}

}  // namespace

const char* conv2d_direct_bf16_refuse(const ConvGeometry& g, DType dtype) {
  if (dtype != bf16) return "is written for bf16";
  if (!has_bf16_dot()) return "the processor has no dot products of bf16";
  if (g.groups != 1) return "the channels are in groups";
  return nullptr;
}

const char* conv2d_backward_data_direct_bf16_refuse(const ConvGeometry& g, DType dtype) {
  if (const char* refusal = conv2d_direct_bf16_refuse(g, dtype)) return refusal;
  if (g.kernel != g.stride || g.dilation != Pair(1) || g.padding != Pair(0) || g.h != g.h_out * g.stride.h ||
      g.w != g.w_out * g.stride.w)
    return "filters overlap or leave gaps";
  return nullptr;
}

void conv2d_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        Tensor& y) {
  const Rows rows(g);
  const std::int64_t blocks = ceil_div(g.k, bf16_block);
  const Tensor packed = pack_filters(weight.data<BFloat16>(), g.k, rows);
  const std::vector<float> start = spread_bias(bias, g.k, g.k);
  parallel_for(g.n * g.h_out, 1, [&](std::int64_t begin, std::int64_t end) {
    BFloat16* block = bf16_scratch(rows.block_size(g), 0);
    for (std::int64_t row = begin; row < end; ++row) {
      const BFloat16* in = rows.at(g, x.data<BFloat16>(), row / g.h_out, row % g.h_out, block);
      for (std::int64_t b = 0; b < blocks; ++b)
        bf16_forward_tiles({.x = in,
                            .x_pixel = g.stride.w * g.c,
                            .runs = rows.runs.data(),
                            .run_count = static_cast<std::int64_t>(rows.runs.size()),
                            .filter = packed.data<BFloat16>() + b * rows.pairs * 2 * bf16_block,
                            .y_pixel = g.k,
                            .cols = g.w_out,
                            .outputs = std::min(bf16_block, g.k - b * bf16_block),
                            .bias = start.data() + b * bf16_block,
                            .accumulate = false},
                           y.data<BFloat16>() + row * g.w_out * g.k + b * bf16_block);
    }
  });
}

// Every pixel of dy is multiplied by all of its filter, whose rows lie side by side in dx.
void conv2d_backward_data_direct_bf16(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                      const Tensor& bias, Tensor& dx) {
  const std::int64_t side = g.kernel.w * g.c, blocks = ceil_div(side, bf16_block);
  const std::vector<Run> runs{{.offset = 0, .length = g.k}};
  const std::int64_t pairs = ceil_div(g.k, 2);
  // A row of the filters of one pixel after the other: paired as pixels are.
  const std::int64_t packed_block = pairs * 2 * bf16_block;
  Tensor packed = empty({g.kernel.h * blocks * packed_block}, {.dtype = bf16});
  parallel_for(g.kernel.h * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t i = task / blocks, first = task % blocks * bf16_block;
      bf16_interleave(weight.data<BFloat16>() + i * side + first, g.kernel.h * side, g.k,
                      std::min(bf16_block, side - first), packed.data<BFloat16>() + task * packed_block,
                      2 * bf16_block, bf16_block);
    }
  });
  const std::vector<float> start = spread_bias(bias, side, g.c);
  parallel_for(g.n * g.h_out, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t i = 0; i < g.kernel.h; ++i)
        for (std::int64_t b = 0; b < blocks; ++b)
          bf16_forward_tiles({.x = dy.data<BFloat16>() + row * g.w_out * g.k,
                              .x_pixel = g.k,
                              .runs = runs.data(),
                              .run_count = 1,
                              .filter = packed.data<BFloat16>() + (i * blocks + b) * packed_block,
                              .y_pixel = side,
                              .cols = g.w_out,
                              .outputs = std::min(bf16_block, side - b * bf16_block),
                              .bias = start.data() + b * bf16_block,
                              .accumulate = false},
                             dx.data<BFloat16>() + (row * g.kernel.h + i) * g.w * g.c + b * bf16_block);
  });
}

// Sums over fixed chunks of the rows of outputs, [block of outputs][element of the filter][32], added up in
// order.
void conv2d_backward_weight_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                        Tensor& dweight) {
  const Rows rows(g);
  const std::int64_t blocks = ceil_div(g.k, bf16_block), elements = ceil_div(rows.elements, 16) * 16;
  const std::int64_t size = blocks * elements * bf16_block, count = g.n * g.h_out;
  const std::int64_t chunks =
      std::clamp<std::int64_t>((std::int64_t{4} << 20) / size, 1, std::clamp<std::int64_t>(count, 1, 16));
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(16, chunks), 1, blocks);
  Tensor partial = zeros({chunks * size});
  parallel_for(chunks * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t most = ceil_div(std::min(g.w_out, segment_pixels), 2), x_pair = 2 * rows.elements;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t chunk = task / parts, part = task % parts;
      const std::int64_t block_begin = part * blocks / parts, block_end = (part + 1) * blocks / parts;
      const std::int64_t k0 = block_begin * bf16_block, k = std::min(g.k, block_end * bf16_block) - k0;
      BFloat16* padded = bf16_scratch(rows.block_size(g), 0);
      BFloat16* v = bf16_scratch(most * x_pair, 1);
      BFloat16* w = bf16_scratch((block_end - block_begin) * most * 64, 2);
      for (std::int64_t row = chunk * count / chunks; row < (chunk + 1) * count / chunks; ++row) {
        const BFloat16* in = rows.at(g, x.data<BFloat16>(), row / g.h_out, row % g.h_out, padded);
        for (std::int64_t first = 0; first < g.w_out; first += 2 * most) {
          const std::int64_t cols = std::min(2 * most, g.w_out - first);
          std::int64_t at = 0;
          for (const Run& run : rows.runs) {
            bf16_interleave(in + first * g.stride.w * g.c + run.offset, g.stride.w * g.c, cols, run.length,
                            v + at, x_pair, run.length);
            at += 2 * run.length;
          }
          const BFloat16* grad = dy.data<BFloat16>() + (row * g.w_out + first) * g.k + k0;
          for (std::int64_t b = 0; b < block_end - block_begin; ++b)
            bf16_interleave(grad + b * bf16_block, g.k, cols, std::min(bf16_block, k - b * bf16_block),
                            w + b * most * 64, 64, bf16_block);
          for (std::int64_t b = block_begin; b < block_end; ++b)
            bf16_weight_tiles({.x = v,
                               .x_pair = x_pair,
                               .elements = rows.elements,
                               .dy = w + (b - block_begin) * most * 64,
                               .pairs = ceil_div(cols, 2),
                               .sums = partial.data<float>() + chunk * size + b * elements * bf16_block});
        }
      }
    }
  });
  const std::int64_t pieces = elements / 16;
  parallel_for(blocks * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t block = task / pieces, e0 = task % pieces * 16;
      float* sums = partial.data<float>() + (block * elements + e0) * bf16_block;
      for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
        bf16_add_sums(sums + chunk * size, 16 * bf16_block, sums);
      for (std::int64_t k = 0; k < bf16_block && block * bf16_block + k < g.k; k += 16)
        transpose_rounded(sums + k, bf16_block,
                          dweight.data<BFloat16>() + (block * bf16_block + k) * rows.elements + e0,
                          rows.elements, g.k - block * bf16_block - k, rows.elements - e0);
    }
  });
}

}  // namespace karyon::cpu
