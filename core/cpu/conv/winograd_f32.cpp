// 3 x 3 convolution with stride 1 by Winograd's minimal filtering: tiles of m x m outputs and the filters are
// transformed into t * t planes (t = m + 2), where the convolution is a product of matrices per plane,
// [tiles, C] x [C, K]; t * t multiplications then do the work of 9 * m * m (for m = 4 a quarter). The
// products run in the register tiles of the direct convolution (conv_tiles.cpp) and the planes of a block of
// tiles stay in the L2 cache. Backward-data is the same with turned filters; backward-weights is the
// transposed algorithm, [C, tiles] x [tiles, K] per plane.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/filter_cache.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t block_floats = 160 * 1024;  // of the planes of a block of tiles: 640 KiB of a 1 MiB L2
constexpr std::int64_t tile_step = 28;             // fills the register tiles of every instruction set
constexpr std::int64_t few_tiles = 96;             // worked on together, see Tiling::units
constexpr std::int64_t filter_piece = 128;   // input channels of filters transformed where they are used
constexpr std::int64_t sum_piece = 64;       // of which sums for the weights are finished where they are made
constexpr std::int64_t keep_tiles = 1024;    // up to which transforming the filters is worth keeping them for
constexpr std::int64_t most_sums = 4 << 20;  // floats of partial sums in backward-weights
constexpr std::int64_t most_chunks = 8;      // of tiles, whose sums these are
constexpr std::int64_t skew = 16;            // floats that keep planes from meeting in the same cache sets

// Images [n, h, w, c]. Tiles may reach beyond them: zeros are read there, and nothing is written.
template <class T>
struct Images {
  T* data;
  std::int64_t n, h, w, c;
};

struct Units {
  std::int64_t count, tiles;  // tiles in each but the last
};

// How an output [n, h_out, w_out] is cut into tiles.
struct Tiling {
  int m;
  std::int64_t planes, rows, cols, count;  // t * t; tiles of an image; tiles in all

  Tiling(std::int64_t n, std::int64_t h_out, std::int64_t w_out) {
    auto multiplications = [&](std::int64_t size) {
      return ceil_div(h_out, size) * ceil_div(w_out, size) * (size + 2) * (size + 2);
    };
    m = multiplications(2) < multiplications(4) ? 2 : 4;
    planes = (m + 2) * (m + 2);
    rows = ceil_div(h_out, m);
    cols = ceil_div(w_out, m);
    count = n * rows * cols;
  }
  // Tiles are worked on in units whose planes, `channels` wide, stay in the L2 cache. A few tiles are one
  // unit.
  Units units(std::int64_t channels, std::int64_t least) const {
    if (count <= few_tiles) return {std::min<std::int64_t>(count, 1), count};
    const std::int64_t fit = block_floats / (planes * channels) / tile_step * tile_step;
    const std::int64_t wanted = ceil_div(count, std::clamp<std::int64_t>(fit, least, 4 * tile_step));
    const std::int64_t tiles = ceil_div(count, wanted);
    return {ceil_div(count, tiles), tiles};
  }
  // About as many units, a multiple of `chunks`.
  Units even(const Units& units, std::int64_t chunks) const {
    const std::int64_t tiles =
        ceil_div(count, ceil_div(std::max<std::int64_t>(units.count, 1), chunks) * chunks);
    return {ceil_div(count, std::max<std::int64_t>(tiles, 1)), tiles};
  }
  struct Place {
    std::int64_t image, y, x;  // the tile's first output
  };
  Place place(std::int64_t tile) const {
    return {tile / (rows * cols), tile / cols % rows * m, tile % cols * m};
  }
};

// Outputs are taken in blocks of conv_block_width(), the last rounded up to whole vectors.
struct OutputBlocks {
  std::int64_t k, count;
  explicit OutputBlocks(std::int64_t k_) : k(k_), count(ceil_div(k_, conv_block_width())) {}
  std::int64_t first(std::int64_t block) const { return block * conv_block_width(); }
  std::int64_t outputs(std::int64_t block) const { return std::min(conv_block_width(), k - first(block)); }
  std::int64_t width(std::int64_t block) const { return rounded(outputs(block)); }
};

// Copies a size x size window at (y, x) of channels first ... first + channels - 1 into a dense block of
// `width` channels, with zeros where there is nothing. A part that is read through an affine function is
// copied whole (first is 0, and both widths are its channels).
void gather(const Images<const float>& from, const ImagePart& part, std::int64_t image, std::int64_t y,
            std::int64_t x, std::int64_t size, std::int64_t first, std::int64_t channels, std::int64_t width,
            float* to) {
  const std::int64_t left = std::clamp<std::int64_t>(-x, 0, size),
                     right = std::clamp<std::int64_t>(from.w - x, left, size);
  for (std::int64_t i = 0; i < size; ++i, to += size * width) {
    if (y + i < 0 || y + i >= from.h || left == right) {
      std::fill_n(to, size * width, 0.0f);
      continue;
    }
    const float* row = from.data + ((image * from.h + y + i) * from.w + x) * from.c + first;
    std::fill_n(to, left * width, 0.0f);
    if (width == from.c) {
      read_pixels(part, row + left * from.c, right - left, to + left * width);
    } else {
      for (std::int64_t j = left; j < right; ++j) {
        std::memcpy(to + j * width, row + j * from.c, static_cast<std::size_t>(channels) * sizeof(float));
        std::fill_n(to + j * width + channels, width - channels, 0.0f);
      }
    }
    std::fill_n(to + right * width, (size - right) * width, 0.0f);
  }
}

// A window to transform: in place, or gathered where it reaches beyond the image or the last whole vector.
struct Window {
  const float* data;
  Grid at;
  const float *scale, *shift;
};
Window window(const Images<const float>& from, const ImagePart& part, std::int64_t image, std::int64_t y,
              std::int64_t x, std::int64_t size, std::int64_t first, std::int64_t channels,
              std::int64_t width, float* spare) {
  if (width == channels && y >= 0 && x >= 0 && y + size <= from.h && x + size <= from.w)
    return {from.data + ((image * from.h + y) * from.w + x) * from.c + first,
            {from.w * from.c, from.c},
            part.scale,
            part.shift};
  gather(from, part, image, y, x, size, first, channels, width, spare);
  return {spare, {size * width, width}, nullptr, nullptr};
}

// Images to read, in parts side by side in their channels.
struct Input {
  const ConvInput& from;
  std::int64_t n, h, w, c;

  // The planes of the tile whose window begins at (y, x), all channels.
  void transform(int m, std::int64_t image, std::int64_t y, std::int64_t x, float* planes, std::int64_t plane,
                 float* spare) const {
    for (const ImagePart& part : from.parts) {
      const std::int64_t width = rounded(part.channels);
      const Window seen = window({part.data, n, h, w, part.channels}, part, image, y, x, m + 2, 0,
                                 part.channels, width, spare);
      winograd_input(m, seen.data, seen.at, seen.scale, seen.shift, planes + part.first, plane, width);
    }
  }
};

// Images to write, in parts whose first channels begin blocks of outputs.
struct OutputPart {
  float* data;
  std::int64_t first, channels;
};
struct Output {
  std::vector<OutputPart> parts;
  std::int64_t n, h, w, c;

  const OutputPart& part_of(std::int64_t k) const {
    std::size_t i = 0;
    while (i + 1 < parts.size() && parts[i + 1].first <= k) ++i;
    return parts[i];
  }
};

// Where weight(out k, tap, in c) lies: tap t at t * tap, or at (8 - t) * tap if turned. One of k and c is 1.
struct FilterView {
  const Tensor& weight;
  std::int64_t k, c, tap;
  bool turned;
};

constexpr std::int64_t channels_at_once = 16;  // of filters on their way to planes and back

// planes[q][c0 ... c0 + n - 1][width] of one block of outputs, from weights that run either way; `plane`
// floats from one q to the next.
void transform_filters(int m, const FilterView& view, const OutputBlocks& blocks, std::int64_t block,
                       std::int64_t c0, std::int64_t n, float* planes, std::int64_t plane) {
  const std::int64_t outputs = blocks.outputs(block), width = blocks.width(block);
  alignas(64) float taps[9 * channels_at_once * 32];
  for (; n > 0; c0 += channels_at_once, n -= channels_at_once, planes += channels_at_once * width) {
    const std::int64_t piece = std::min(channels_at_once, n), tap = piece * width;
    for (std::int64_t t = 0; t < 9; ++t) {
      const float* from = view.weight.data<float>() + (view.turned ? 8 - t : t) * view.tap +
                          blocks.first(block) * view.k + c0 * view.c;
      float* to = taps + t * tap;
      if (view.k == 1) {
        for (std::int64_t i = 0; i < piece; ++i) std::copy_n(from + i * view.c, outputs, to + i * width);
      } else {
        for (std::int64_t j = 0; j < outputs; ++j)
          for (std::int64_t i = 0; i < piece; ++i) to[i * width + j] = from[i + j * view.k];
      }
      for (std::int64_t i = 0; i < piece && outputs < width; ++i)
        std::fill(to + i * width + outputs, to + (i + 1) * width, 0.0f);
    }
    winograd_filter(m, taps, {3 * tap, tap}, planes, plane, tap);
  }
}

// in -> out with the filter given; both directions are this.
void convolve(const Input& in, const Output& out, Pair padding, const FilterView& view, bool keep_filters,
              const Tensor& scale, const Tensor& shift, bool relu,
              std::shared_ptr<ChannelMoments>* moments = nullptr) {
  const Tiling tiling(out.n, out.h, out.w);
  if (tiling.count == 0) return;
  const int m = tiling.m;
  const std::int64_t planes = tiling.planes, c = in.c, c_width = rounded(c), width = conv_block_width();
  const OutputBlocks blocks(out.c);
  // Whole vectors of it, so that no kernel reads beyond an end.
  std::vector<float> scales(static_cast<std::size_t>(rounded(out.c)), 1.0f), shifts(scales.size(), 0.0f);
  if (scale.defined()) std::copy_n(scale.data<float>(), out.c, scales.begin());
  if (shift.defined()) std::copy_n(shift.data<float>(), out.c, shifts.begin());
  const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  const Units units = tiling.units(c_width + width, tile_step);
  // Filters that serve one unit only are transformed where they are used, a piece at a time.
  const FilterKey key{1, m, view.turned, c, out.c, view.weight.impl()->offset};
  const bool keep = keep_filters && tiling.count <= keep_tiles && used_before(view.weight, key);
  const bool at_once = units.count == 1 && !keep;
  const std::int64_t piece = at_once ? std::min(c, filter_piece) : c;
  auto filter_plane = [&](std::int64_t k_width) { return piece * k_width + skew; };
  const std::int64_t filter_block = planes * filter_plane(width);
  auto transform_all = [&] {
    Tensor all = empty({blocks.count * filter_block});
    const std::int64_t pieces = ceil_div(c, channels_at_once);
    parallel_for(blocks.count * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t block = task / pieces, c0 = task % pieces * channels_at_once;
        const std::int64_t k_width = blocks.width(block);
        transform_filters(m, view, blocks, block, c0, std::min(channels_at_once, c - c0),
                          all.data<float>() + block * filter_block + c0 * k_width, filter_plane(k_width));
      }
    });
    return all;
  };
  Tensor filters;
  if (keep) {
    filters = kept_filters(view.weight, key, transform_all);
  } else if (!at_once) {
    filters = transform_all();
  }
  // Few units: share out the blocks of outputs as well, once all threads have transformed the tiles. Every
  // output is summed in the same order, so the number of threads changes no bit.
  const std::int64_t parts =
      std::clamp<std::int64_t>(ceil_div(4 * num_threads(), units.count), 1, blocks.count);
  const std::int64_t v_plane = c_width + skew, v_tile = planes * v_plane, y_tile = planes * width + skew;
  const bool stream = std::ranges::all_of(out.parts, [&](const OutputPart& part) {
    return out.n * out.h * out.w * part.channels >= stream_floats && part.channels % 16 == 0 &&
           reinterpret_cast<std::uintptr_t>(part.data) % 64 == 0;
  });
  std::optional<UnitMoments> unit_moments;
  if (moments) unit_moments.emplace(units.count, out.c);
  const std::int64_t spare_size = planes * std::max(c_width, width);
  auto transform = [&](std::int64_t first, std::int64_t n, float* v) {
    float* spare = scratch(spare_size, 2);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto [image, y, x] = tiling.place(first + i);
      in.transform(m, image, y - padding.h, x - padding.w, v + i * v_tile, v_plane, spare);
    }
  };
  Tensor shared;
  if (parts > 1) {
    shared = empty({tiling.count * v_tile});
    parallel_for(tiling.count, 4, [&](std::int64_t begin, std::int64_t end) {
      transform(begin, end - begin, shared.data<float>() + begin * v_tile);
    });
  }
  parallel_for(units.count * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    float* product = scratch(units.tiles * y_tile, 1);
    float* spare = scratch(spare_size, 2);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t part = task % parts, first = task / parts * units.tiles;
      const std::int64_t n = std::min(units.tiles, tiling.count - first);
      if (n <= 0) continue;
      const float* v;
      if (parts > 1) {
        v = shared.data<float>() + first * v_tile;
      } else {
        float* own = scratch(units.tiles * v_tile, 0);
        transform(first, n, own);
        v = own;
      }
      for (std::int64_t block = part * blocks.count / parts; block < (part + 1) * blocks.count / parts;
           ++block) {
        const std::int64_t k0 = blocks.first(block), outputs = blocks.outputs(block),
                           k_width = blocks.width(block);
        for (std::int64_t c0 = 0; c0 < c; c0 += piece) {
          const Run run{.offset = 0, .length = std::min(piece, c - c0)};
          const float* u;
          if (at_once) {
            float* piece_planes = scratch(filter_block, 3);
            transform_filters(m, view, blocks, block, c0, run.length, piece_planes, filter_plane(k_width));
            u = piece_planes;
          } else {
            u = filters.data<float>() + block * filter_block;
          }
          for (std::int64_t q = 0; q < planes; ++q)
            conv_forward_tiles({.x = v + q * v_plane + c0,
                                .x_row = 0,
                                .x_pixel = v_tile,
                                .runs = &run,
                                .run_count = 1,
                                .filter = u + q * filter_plane(k_width),
                                .y = product + q * k_width,
                                .y_row = 0,
                                .y_pixel = y_tile,
                                .rows = 1,
                                .cols = n,
                                .outputs = k_width,
                                .bias = nullptr,
                                .accumulate = c0 > 0,
                                .ahead = filter_plane(k_width)});
        }
        const OutputPart& to_part = out.part_of(k0);
        const std::int64_t to_c = to_part.channels;
        const Epilogue epilogue{scales.data() + k0, shifts.data() + k0, floor};
        TileSums sums{};
        if (unit_moments) {
          winograd_output(m, product, k_width, epilogue, spare, {m * k_width, k_width}, k_width, false);
          const std::int64_t unit = task / parts;
          sums = {unit_moments->centre(unit, k0), unit_moments->sum(unit, k0),
                  unit_moments->squares(unit, k0)};
          std::copy_n(spare, k_width, unit_moments->centre(unit, k0));
        }
        std::int64_t count = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          const auto [image, y, x] = tiling.place(first + i);
          float* to = to_part.data + ((image * out.h + y) * out.w + x) * to_c + k0 - to_part.first;
          const std::int64_t rows = std::min<std::int64_t>(m, out.h - y),
                             cols = std::min<std::int64_t>(m, out.w - x);
          count += rows * cols;
          if (outputs == k_width && y + m <= out.h && x + m <= out.w) {
            winograd_output(m, product + i * y_tile, k_width, epilogue, to, {out.w * to_c, to_c}, k_width,
                            stream, unit_moments ? &sums : nullptr);
            continue;
          }
          winograd_output(m, product + i * y_tile, k_width, epilogue, spare, {m * k_width, k_width}, k_width,
                          false);
          for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t col = 0; col < cols; ++col)
              for (std::int64_t k = 0; k < outputs; ++k) {
                const float value = spare[(row * m + col) * k_width + k];
                to[(row * out.w + col) * to_c + k] = value;
                if (!unit_moments) continue;
                const float off = value - sums.centre[k];
                sums.sum[k] += off;
                sums.squares[k] += off * off;
              }
        }
        if (unit_moments && block == 0) unit_moments->count(task / parts, count);
      }
    }
    if (stream) hwy::FlushStream();  // before another thread may read it
  });
  if (moments) *moments = unit_moments->join();
}

void forward(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
             const Tensor& shift, bool relu, Tensor& y, std::shared_ptr<ChannelMoments>* moments) {
  const ConvInput in = conv_input(x, true);
  convolve({in, g.n, g.h, g.w, g.c}, {{{y.data<float>(), 0, g.k}}, g.n, g.h_out, g.w_out, g.k}, g.padding,
           {.weight = weight, .k = 9 * g.c, .c = 1, .tap = g.c, .turned = false}, g.keep_filters, scale,
           shift, relu, moments);
}

}  // namespace

const char* conv2d_winograd_refuse(const ConvGeometry& g, DType dtype) {
  if (dtype != f32) return "is written for f32";
  if (g.kernel.h != 3 || g.kernel.w != 3) return "the kernel is not 3 x 3";
  if (g.stride.h != 1 || g.stride.w != 1) return "the stride is not 1";
  if (g.dilation.h != 1 || g.dilation.w != 1) return "the kernel is dilated";
  if (g.groups != 1) return "the channels are in groups";
  if (g.padding.h > 2 || g.padding.w > 2) return "the padding is wider than the kernel reaches";
  if (g.c < 16 || g.k < 16) return "so few channels do not pay for the transforms";
  if (Tiling(g.n, g.h_out, g.w_out).count < 16) return "so few tiles do not pay for the filters";
  return nullptr;
}

void conv2d_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     Tensor& y) {
  std::shared_ptr<ChannelMoments> moments;
  const bool wanted = g.moments && g.k % 16 == 0;
  forward(g, x, weight, {}, bias, false, y, wanted ? &moments : nullptr);
  if (moments) y.impl()->storage->keep_derived(std::move(moments));
}

void conv2d_affine_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                            const Tensor& shift, bool relu, Tensor& y) {
  forward(g, x, weight, scale, shift, relu, y, nullptr);
}

void conv2d_backward_data_winograd(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                   const Tensor& bias, Tensor& dx) {
  const ConvInput in = conv_input(dy, true);
  Output out{{}, g.n, g.h, g.w, g.c};
  if (const auto apart = deferred_as<DeferredCat>(dx)) {
    std::int64_t first = 0;
    for (const SavedTensor& saved : apart->parts) {
      Tensor part = saved.get();
      out.parts.push_back({part.data<float>(), first, part.size(-1)});
      first += part.size(-1);
    }
  } else {
    out.parts.push_back({dx.data<float>(), 0, g.c});
  }
  convolve({in, g.n, g.h_out, g.w_out, g.k}, out, {2 - g.padding.h, 2 - g.padding.w},
           {.weight = weight, .k = 1, .c = 9 * g.c, .tap = g.c, .turned = true}, g.keep_filters, {}, bias,
           false);
}

// Per plane, [C, tiles] x [tiles, K] over fixed chunks of the tiles, which are added up in order. Sums are
// [block of outputs][plane][c][width of the block].
void conv2d_backward_weight_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& dy_,
                                     Tensor& dweight) {
  const Tiling tiling(g.n, g.h_out, g.w_out);
  const int m = tiling.m;
  const ConvInput parts_of_x = conv_input(x, true);
  const Input in{parts_of_x, g.n, g.h, g.w, g.c};
  const ImagePart plain{.channels = g.k};
  const Images<const float> dy{dy_.data<float>(), g.n, g.h_out, g.w_out, g.k};
  const std::int64_t c = g.c, c_width = rounded(c), planes = tiling.planes;
  const OutputBlocks blocks(g.k);
  Units units = tiling.units(c_width + rounded(g.k), 2 * tile_step);
  // One unit holds all there is to sum: its planes go back to taps at once, a piece of channels at a time.
  const bool at_once = units.count == 1;
  const std::int64_t piece = at_once ? std::min(c, sum_piece) : c;
  auto sum_plane = [&](std::int64_t width) { return piece * width + skew; };
  const std::int64_t sum_block = planes * sum_plane(conv_block_width()), size = blocks.count * sum_block;
  // A power of two of chunks with as many units each, so that threads have equal shares. Where there are few,
  // the blocks of outputs are shared out as well, and tiles of x are transformed for each part.
  const auto chunks = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(
      std::clamp<std::int64_t>(most_sums / size, 1, std::clamp<std::int64_t>(units.count, 1, most_chunks)))));
  units = tiling.even(units, chunks);
  const std::int64_t parts =
      std::clamp<std::int64_t>(ceil_div((at_once ? 2 : 1) * num_threads(), chunks), 1, blocks.count);
  Tensor partial = at_once ? Tensor() : empty({chunks * size});
  auto sums_of = [&](std::int64_t chunk, std::int64_t block) {
    return partial.data<float>() + chunk * size + block * sum_block;
  };
  // Planes to taps, then outputs outermost as the weights have them; `plane` floats from one q to the next.
  auto finish = [&](std::int64_t block, const float* sums, std::int64_t plane, std::int64_t c0,
                    std::int64_t n) {
    alignas(64) float taps[9 * channels_at_once * 32];
    const std::int64_t width = blocks.width(block);
    for (; n > 0; c0 += channels_at_once, n -= channels_at_once, sums += channels_at_once * width) {
      const std::int64_t some = std::min(channels_at_once, n), tap = some * width;
      winograd_filter_gradient(m, sums, plane, taps, {3 * tap, tap}, tap);
      for (std::int64_t k = 0; k < blocks.outputs(block); ++k)
        for (std::int64_t t = 0; t < 9; ++t) {
          float* to = dweight.data<float>() + ((blocks.first(block) + k) * 9 + t) * c + c0;
          for (std::int64_t i = 0; i < some; ++i) to[i] = taps[t * tap + i * width + k];
        }
    }
  };
  const std::int64_t v_plane = c_width + skew, v_tile = planes * v_plane;
  // One unit is transformed once, by all threads, for all parts.
  Tensor shared;
  if (at_once && parts > 1) {
    shared = empty({units.tiles * v_tile});
    parallel_for(tiling.count, 4, [&](std::int64_t begin, std::int64_t end) {
      float* spare = scratch(planes * c_width, 2);
      for (std::int64_t i = begin; i < end; ++i) {
        const auto [image, row, col] = tiling.place(i);
        in.transform(m, image, row - g.padding.h, col - g.padding.w, shared.data<float>() + i * v_tile,
                     v_plane, spare);
      }
    });
  }
  parallel_for(chunks * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t chunk = task / parts, part = task % parts;
      const std::int64_t block_begin = part * blocks.count / parts,
                         block_end = (part + 1) * blocks.count / parts;
      const std::int64_t k_begin = blocks.first(block_begin), k_end = std::min(g.k, blocks.first(block_end)),
                         k_width = rounded(k_end - k_begin);
      const std::int64_t w_block = planes * (units.tiles * conv_block_width() + skew);
      float* v = shared.defined() ? shared.data<float>() : scratch(units.tiles * v_tile, 0);
      float* w = scratch((block_end - block_begin) * w_block, 1);
      float* spare = scratch(planes * std::max(c_width, k_width), 2);
      const std::int64_t unit_begin = chunk * units.count / chunks,
                         unit_end = (chunk + 1) * units.count / chunks;
      for (std::int64_t unit = unit_begin; unit < unit_end; ++unit) {
        const std::int64_t first = unit * units.tiles, n = std::min(units.tiles, tiling.count - first);
        for (std::int64_t i = 0; i < n; ++i) {
          const auto [image, row, col] = tiling.place(first + i);
          if (!shared.defined())
            in.transform(m, image, row - g.padding.h, col - g.padding.w, v + i * v_tile, v_plane, spare);
          const Window grad = window(dy, plain, image, row, col, m, k_begin, k_end - k_begin, k_width, spare);
          // Each block of outputs is dense, as the register tiles read it.
          for (std::int64_t block = block_begin; block < block_end; ++block) {
            const std::int64_t width = blocks.width(block);
            winograd_output_gradient(m, grad.data + blocks.first(block) - k_begin, grad.at,
                                     w + (block - block_begin) * w_block + i * width,
                                     units.tiles * width + skew, width);
          }
        }
        for (std::int64_t block = block_begin; block < block_end; ++block) {
          const std::int64_t width = blocks.width(block);
          for (std::int64_t c0 = 0; c0 < c; c0 += piece) {
            const Run run{.offset = 0, .length = std::min(piece, c - c0)};
            float* sums = at_once ? scratch(sum_block, 3) : sums_of(chunk, block);
            for (std::int64_t q = 0; q < planes; ++q)
              conv_weight_tiles({.x = v + q * v_plane + c0,
                                 .x_row = 0,
                                 .x_pixel = v_tile,
                                 .runs = &run,
                                 .run_count = 1,
                                 .dy = w + (block - block_begin) * w_block + q * (units.tiles * width + skew),
                                 .rows = 1,
                                 .cols = n,
                                 .outputs = width,
                                 .partial = sums + q * sum_plane(width),
                                 .accumulate = unit > unit_begin,
                                 .ahead = at_once ? nullptr : sums + (q + 1) * sum_plane(width),
                                 .ahead_floats = at_once ? 0 : run.length * width});
            if (at_once) finish(block, sums, sum_plane(width), c0, run.length);
          }
        }
      }
    }
  });
  if (at_once) return;
  const std::int64_t pieces = ceil_div(c, channels_at_once);
  parallel_for(blocks.count * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t block = task / pieces, c0 = task % pieces * channels_at_once;
      const std::int64_t n = std::min(channels_at_once, c - c0), width = blocks.width(block);
      float* sums = sums_of(0, block) + c0 * width;
      for (std::int64_t chunk = 1; chunk < chunks; ++chunk) {
        const float* more = sums_of(chunk, block) + c0 * width;
        for (std::int64_t q = 0; q < planes; ++q)
          for (std::int64_t i = 0; i < n * width; ++i)
            sums[q * sum_plane(width) + i] += more[q * sum_plane(width) + i];
      }
      finish(block, sums, sum_plane(width), c0, n);
    }
  });
}

}  // namespace karyon::cpu
