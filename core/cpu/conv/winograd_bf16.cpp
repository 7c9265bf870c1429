// 3 x 3 convolution of bf16 with stride 1: Winograd's F(4 x 4, 3 x 3) as in conv_winograd.cpp, with planes in
// bf16 and products by AVX512_BF16's dot products. Planes are half as large and products take half the
// instructions. The dot products take pairs: of channels forward, of tiles in the sum for the weights.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/conv/transforms_bf16.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/deferred.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t m = 4, planes = 36;
constexpr std::int64_t block_bytes = 480 * 1024;  // of the planes of a unit of tiles, of a 1 MiB L2
constexpr std::int64_t tile_step = 28;            // two of the register tiles' rows, and pairs of tiles
constexpr std::int64_t most_tiles = 4 * tile_step, few_tiles = 96;
constexpr std::int64_t filter_piece = 256;      // input channels of filters transformed where they are used
constexpr std::int64_t most_sums = 256 * 1024;  // floats of sums for the weights that the L2 cache holds
// Bytes of planes that a task transforms at once for the weights: as many as there are of its sums.
constexpr std::int64_t least_stage = 1 << 20, most_stage = 6 << 20;
constexpr std::int64_t sum_chunks = 8;  // of tiles, that sums for the weights are cut into
constexpr std::int64_t skew = 32;       // bf16 that keep planes from meeting in the same cache sets

std::int64_t blocks_of(std::int64_t channels) { return ceil_div(channels, bf16_block) * bf16_block; }

// Images [n, h, w, c], and zeros for the pixels around them.
template <class T>
struct Images {
  T* data;
  std::int64_t n, h, w, c;

  T* pixel(std::int64_t image, std::int64_t y, std::int64_t x) const {
    return data + ((image * h + y) * w + x) * c;
  }
  // The pixels of a window at (y, x), `outside` for those beyond the image; a list of them goes to `list`.
  template <std::size_t size>
  Bf16Pixels<T> window(std::int64_t image, std::int64_t y, std::int64_t x, T* outside,
                       T* (&list)[size * size]) const {
    if (y >= 0 && x >= 0 && y + std::int64_t{size} <= h && x + std::int64_t{size} <= w)
      return {pixel(image, y, x), w * c, c};
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t j = 0; j < size; ++j) {
        const std::int64_t row = y + static_cast<std::int64_t>(i), col = x + static_cast<std::int64_t>(j);
        const bool inside = row >= 0 && row < h && col >= 0 && col < w;
        list[i * size + j] = inside ? pixel(image, row, col) : outside;
      }
    return {.each = list};
  }
};
using In = Images<const BFloat16>;

// An input, wherever it lies: in parts that were not joined, of batch norms that were not made.
struct Input {
  struct Part {
    In images;
    std::int64_t first;          // channel
    std::vector<float> factors;  // see Bf16Norm
  };
  std::int64_t n, h, w, c = 0;
  std::vector<Part> parts = {};
  std::vector<Tensor> held = {};

  Input(const Tensor& x, std::int64_t n_, std::int64_t h_, std::int64_t w_) : n(n_), h(h_), w(w_) {
    const auto joined = deferred_as<DeferredCat>(x);
    const bool apart = joined && std::ranges::all_of(joined->parts, [](const SavedTensor& part) {
                         return part.get().size(-1) % bf16_block == 0;
                       });
    if (!apart) add(x);
    for (std::size_t i = 0; apart && i < joined->parts.size(); ++i) add(joined->parts[i].get());
  }

  void transform(std::int64_t image, std::int64_t y, std::int64_t x, const BFloat16* zeros,
                 BFloat16* planes_at, std::int64_t plane) const {
    for (const Part& part : parts) {
      const BFloat16* list[planes];
      winograd_bf16_input(part.images.window<6>(image, y, x, zeros, list), norm(part, zeros), part.images.c,
                          8 * part.images.c, {planes_at + part.first, plane, bf16_block});
    }
  }
  static Bf16Norm norm(const Part& part, const BFloat16* zeros) {
    return {part.factors.empty() ? nullptr : part.factors.data(), zeros};
  }

 private:
  void add(const Tensor& x) {
    const auto deferred = x.size(-1) % bf16_block == 0 ? deferred_as<DeferredNorm>(x) : nullptr;
    Part part{{nullptr, n, h, w, x.size(-1)}, c, {}};
    held.push_back(deferred ? deferred->x.get() : x);
    part.images.data = std::as_const(held.back()).data<BFloat16>();
    if (deferred)
      for (std::int64_t block = 0; block < x.size(-1); block += bf16_block)
        for (const Tensor& values : {deferred->scale, deferred->shift})
          for (std::int64_t odd = 0; odd < 2; ++odd)
            for (std::int64_t i = odd; i < bf16_block; i += 2)
              part.factors.push_back(values.data<float>()[block + i]);
    parts.push_back(std::move(part));
    c += x.size(-1);
  }
};

// Where outputs go: to the parts that a tensor is left in, each a whole number of blocks, or to all of it.
struct Output {
  struct Part {
    Images<BFloat16> images;
    std::int64_t first;  // channel
    Tensor held;
  };
  std::int64_t n, h, w, c = 0;
  std::vector<Part> parts = {};

  Output(const Tensor& y, std::int64_t n_, std::int64_t h_, std::int64_t w_) : n(n_), h(h_), w(w_) {
    const auto apart = deferred_as<DeferredCat>(y);
    if (!apart) add(y);
    for (std::size_t i = 0; apart && i < apart->parts.size(); ++i) add(apart->parts[i].get());
  }
  // From channel k on; of the part that holds it.
  Images<BFloat16> at(std::int64_t k) const {
    const auto part = std::find_if(parts.rbegin(), parts.rend(), [&](const Part& p) { return p.first <= k; });
    return {part->images.data + k - part->first, n, h, w, part->images.c};
  }

 private:
  void add(Tensor y) {
    parts.push_back({{y.data<BFloat16>(), n, h, w, y.size(-1)}, c, y});
    c += y.size(-1);
  }
};

// How an output [n, h_out, w_out] is cut into tiles, and these into units whose planes stay in the L2 cache.
// A few tiles are one unit.
struct Tiling {
  std::int64_t rows, cols, count;

  Tiling(std::int64_t n, std::int64_t h_out, std::int64_t w_out)
      : rows(ceil_div(h_out, m)), cols(ceil_div(w_out, m)), count(n * rows * cols) {}

  struct Units {
    std::int64_t count, tiles;  // tiles in each but the last, even
  };
  Units units(std::int64_t bytes_of_a_tile) const {
    if (count <= few_tiles) return {1, ceil_div(count, 2) * 2};
    const std::int64_t fit = block_bytes / bytes_of_a_tile / tile_step * tile_step;
    const std::int64_t wanted = ceil_div(count, std::clamp(fit, tile_step, most_tiles));
    const std::int64_t tiles = ceil_div(ceil_div(count, wanted), 2) * 2;
    return {ceil_div(count, tiles), tiles};
  }
  // About as many units, a multiple of `chunks`.
  Units even(const Units& units, std::int64_t chunks) const {
    const std::int64_t tiles = ceil_div(ceil_div(count, ceil_div(units.count, chunks) * chunks), 2) * 2;
    return {ceil_div(count, tiles), tiles};
  }
  struct Place {
    std::int64_t image, y, x;  // the tile's first output
  };
  Place place(std::int64_t tile) const {
    return {tile / (rows * cols), tile / cols % rows * m, tile % cols * m};
  }
  // The place of the next tile.
  void advance(Place& at) const {
    at.x += m;
    if (at.x < cols * m) return;
    at.x = 0;
    at.y += m;
    if (at.y < rows * m) return;
    at.y = 0;
    ++at.image;
  }
};

// Filters as [outputs][9][inputs] or, turned, as [inputs][9][outputs] with the taps in reverse.
struct Filters {
  const BFloat16* data;
  std::int64_t inputs, outputs;
  bool turned;
};

// planes[q][pairs of c0 ... c0 + n - 1][32][2] of a block of outputs, `plane` from one q to the next; n is a
// multiple of 32, and what is beyond the filters is 0.
void transform_filters(const Filters& f, std::int64_t k0, std::int64_t c0, std::int64_t n,
                       const BFloat16* zeros, BFloat16* to, std::int64_t plane) {
  const std::int64_t outputs = std::min(bf16_block, f.outputs - k0);
  if (f.turned) {
    for (std::int64_t c = c0; c < c0 + n; c += 2, to += 2 * bf16_block) {
      const BFloat16* taps[2][9];
      for (std::int64_t i = 0; i < 2; ++i)
        for (std::int64_t t = 0; t < 9; ++t)
          taps[i][t] = c + i < f.inputs ? f.data + ((c + i) * 9 + 8 - t) * f.outputs + k0 : zeros;
      winograd_bf16_filter_pair(taps, outputs, {to, plane, 2 * bf16_block});
    }
    return;
  }
  alignas(64) BFloat16 taps[9][16][64];  // pairs of channels, of 32 outputs
  alignas(64) BFloat16 spare[16][32];
  for (std::int64_t c = c0; c < c0 + n; c += 32) {
    const std::int64_t channels = std::min<std::int64_t>(32, f.inputs - c);
    for (std::int64_t t = 0; t < 9; ++t)
      for (std::int64_t half = 0; half < 2; ++half) {
        const BFloat16* from = f.data + ((k0 + 16 * half) * 9 + t) * f.inputs + c;
        std::int64_t row = 9 * f.inputs;
        if (const std::int64_t k = outputs - 16 * half; k < 16 || channels < 32) {
          for (std::int64_t i = 0; i < 16; ++i)
            for (std::int64_t j = 0; j < 32; ++j)
              spare[i][j] = i < k && j < channels ? from[i * row + j] : BFloat16();
          from = spare[0];
          row = 32;
        }
        transpose_pairs(from, row, taps[t][0] + 32 * half, 64);
      }
    for (std::int64_t pair = 0; pair < 16; ++pair, to += 2 * bf16_block) {
      const BFloat16* of_pair[9];
      for (std::int64_t t = 0; t < 9; ++t) of_pair[t] = taps[t][pair];
      winograd_bf16_filter(of_pair, 64, {to, plane, 32});
    }
  }
}

// Sums of a unit of tiles that are still zero, around the first of its outputs.
Bf16Sums start_sums(const float* product, const Epilogue& epilogue, const BFloat16* outside) {
  alignas(64) BFloat16 tile[16][bf16_block];
  winograd_bf16_output(product, epilogue, {tile[0], 4 * bf16_block, bf16_block}, bf16_block, false);
  Bf16Sums sums{.outside = outside};
  for (std::int64_t k = 0; k < bf16_block; ++k)
    sums.centre[k % 2 * 16 + k / 2] = static_cast<float>(tile[0][k]);
  return sums;
}

void keep_sums(const Bf16Sums& sums, std::int64_t outputs, std::int64_t count, std::int64_t unit,
               std::int64_t k0, UnitMoments& moments) {
  for (std::int64_t k = 0; k < outputs; ++k) {
    const std::int64_t lane = k % 2 * 16 + k / 2;
    moments.centre(unit, k0)[k] = sums.centre[lane];
    moments.sum(unit, k0)[k] = sums.sum[lane];
    moments.squares(unit, k0)[k] = sums.squares[lane];
  }
  if (k0 == 0) moments.count(unit, count);
}

// in -> out with the filters given; both directions are this.
void convolve(const Input& in, const Output& out, Pair padding, const Filters& filters, const Tensor& scale,
              const Tensor& shift, bool relu, std::shared_ptr<ChannelMoments>* moments = nullptr) {
  const Tiling tiling(out.n, out.h, out.w);
  if (tiling.count == 0) return;
  const std::int64_t c_width = blocks_of(in.c), blocks = ceil_div(out.c, bf16_block);
  std::vector<float> scales(static_cast<std::size_t>(blocks * bf16_block), 1.0f), shifts(scales.size(), 0.0f);
  if (scale.defined()) std::copy_n(scale.data<float>(), out.c, scales.begin());
  if (shift.defined()) std::copy_n(shift.data<float>(), out.c, shifts.begin());
  const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  const std::vector<BFloat16> zeros(static_cast<std::size_t>(std::max(c_width, blocks * bf16_block)));

  const std::int64_t v_plane = c_width + skew, v_tile = planes * v_plane;
  const std::int64_t y_tile = planes * bf16_block + skew / 2;
  const Tiling::Units units = tiling.units(v_tile * 2 + y_tile * 4);
  // Filters that serve one unit only are transformed where they are used, a piece at a time.
  const bool at_once = units.count == 1;
  const std::int64_t piece = at_once ? std::min(c_width, filter_piece) : c_width;
  const std::int64_t filter_plane = piece * bf16_block + skew, filter_block = planes * filter_plane;
  Tensor transformed;
  if (!at_once) {
    transformed = empty({blocks * filter_block}, {.dtype = bf16});
    const std::int64_t pieces = c_width / 32;
    parallel_for(blocks * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t block = task / pieces, c0 = task % pieces * 32;
        transform_filters(filters, block * bf16_block, c0, 32, zeros.data(),
                          transformed.data<BFloat16>() + block * filter_block + c0 * bf16_block,
                          filter_plane);
      }
    });
  }
  // Few units: share out the blocks of outputs as well, once all threads have transformed the tiles. Every
  // output is summed in the same order, so the number of threads changes no bit.
  const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(4 * num_threads(), units.count), 1, blocks);
  const bool stream = out.n * out.h * out.w * out.c >= stream_floats && out.h % m == 0 && out.w % m == 0 &&
                      std::ranges::all_of(out.parts, [](const Output::Part& part) {
                        return part.images.c % bf16_block == 0 &&
                               reinterpret_cast<std::uintptr_t>(part.images.data) % 64 == 0;
                      });
  std::optional<UnitMoments> unit_moments;
  if (moments) unit_moments.emplace(units.count, out.c);
  auto transform = [&](std::int64_t first, std::int64_t n, BFloat16* v) {
    Tiling::Place at = tiling.place(first);
    for (std::int64_t i = 0; i < n; ++i, tiling.advance(at))
      in.transform(at.image, at.y - padding.h, at.x - padding.w, zeros.data(), v + i * v_tile, v_plane);
  };
  Tensor shared;
  if (parts > 1) {
    shared = empty({tiling.count * v_tile}, {.dtype = bf16});
    parallel_for(tiling.count, 4, [&](std::int64_t begin, std::int64_t end) {
      transform(begin, end - begin, shared.data<BFloat16>() + begin * v_tile);
    });
  }
  parallel_for(units.count * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    float* product = scratch(units.tiles * y_tile, 1);
    alignas(64) BFloat16 outside[bf16_block];
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t part = task % parts, first = task / parts * units.tiles;
      const std::int64_t n = std::min(units.tiles, tiling.count - first);
      const BFloat16* v;
      if (parts > 1) {
        v = shared.data<BFloat16>() + first * v_tile;
      } else {
        BFloat16* own = bf16_scratch(units.tiles * v_tile, 0);
        transform(first, n, own);
        v = own;
      }
      for (std::int64_t block = part * blocks / parts; block < (part + 1) * blocks / parts; ++block) {
        const std::int64_t k0 = block * bf16_block;
        for (std::int64_t c0 = 0; c0 < c_width; c0 += piece) {
          const Run run{.offset = 0, .length = std::min(piece, c_width - c0)};
          const BFloat16* u;
          if (at_once) {
            BFloat16* piece_planes = bf16_scratch(filter_block, 3);
            transform_filters(filters, k0, c0, run.length, zeros.data(), piece_planes, filter_plane);
            u = piece_planes;
          } else {
            u = transformed.data<BFloat16>() + block * filter_block;
          }
          for (std::int64_t q = 0; q < planes; ++q)
            bf16_forward_tiles({.x = v + q * v_plane + c0,
                                .x_pixel = v_tile,
                                .runs = &run,
                                .run_count = 1,
                                .filter = u + q * filter_plane,
                                .y_pixel = y_tile,
                                .cols = n,
                                .outputs = bf16_block,
                                .bias = nullptr,
                                .accumulate = c0 > 0,
                                .ahead = filter_plane},
                               product + q * bf16_block);
        }
        const Epilogue epilogue{scales.data() + k0, shifts.data() + k0, floor};
        const Images<BFloat16> to = out.at(k0);
        const std::int64_t outputs = std::min(bf16_block, out.c - k0);
        std::optional<Bf16Sums> sums;
        if (unit_moments) sums = start_sums(product, epilogue, outside);
        std::int64_t count = 0;
        Tiling::Place at = tiling.place(first);
        for (std::int64_t i = 0; i < n; ++i, tiling.advance(at)) {
          BFloat16* list[16];
          winograd_bf16_output(product + i * y_tile, epilogue,
                               to.window<4>(at.image, at.y, at.x, outside, list), outputs, stream,
                               sums ? &*sums : nullptr);
          count += std::min(m, out.h - at.y) * std::min(m, out.w - at.x);
        }
        if (sums) keep_sums(*sums, outputs, count, task / parts, k0, *unit_moments);
      }
    }
    if (stream) hwy::FlushStream();  // before another thread may read it
  });
  if (moments) *moments = unit_moments->join();
}

}  // namespace

const char* conv2d_winograd_bf16_refuse(const ConvGeometry& g, DType dtype) {
  if (dtype != bf16) return "is written for bf16";
  if (!has_bf16_dot()) return "the processor has no dot products of bf16";
  if (g.h_out < m || g.w_out < m) return "tiles of 4 x 4 would be mostly padding";
  return conv2d_winograd_refuse(g, f32);
}

void conv2d_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Tensor& y) {
  std::shared_ptr<ChannelMoments> moments;
  convolve({x, g.n, g.h, g.w}, {y, g.n, g.h_out, g.w_out}, g.padding,
           {weight.data<BFloat16>(), g.c, g.k, false}, {}, bias, false, g.moments ? &moments : nullptr);
  if (moments) y.impl()->storage->keep_derived(std::move(moments));
}

void conv2d_affine_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight,
                                 const Tensor& scale, const Tensor& shift, bool relu, Tensor& y) {
  convolve({x, g.n, g.h, g.w}, {y, g.n, g.h_out, g.w_out}, g.padding,
           {weight.data<BFloat16>(), g.c, g.k, false}, scale, shift, relu);
}

void conv2d_backward_data_winograd_bf16(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                        const Tensor& bias, Tensor& dx) {
  convolve({dy, g.n, g.h_out, g.w_out}, {dx, g.n, g.h, g.w}, {2 - g.padding.h, 2 - g.padding.w},
           {weight.data<BFloat16>(), g.k, g.c, true}, {}, bias, false);
}

namespace {

// Backward-weights: per plane, [C, tiles] x [tiles, K], summed in f32 over the tiles, then planes back to
// taps.
class WeightGradient {
 public:
  WeightGradient(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight)
      : g_(g),
        tiling_(g.n, g.h_out, g.w_out),
        in_(x, g.n, g.h, g.w),
        dy_{dy.data<BFloat16>(), g.n, g.h_out, g.w_out, g.k},
        dweight_(dweight.data<BFloat16>()),
        c_width_(blocks_of(g.c)),
        k_width_(blocks_of(g.k)),
        zeros_(static_cast<std::size_t>(std::max(c_width_, k_width_))) {}

  void run() {
    if (tiling_.count == 0) {
      std::fill_n(dweight_, 9 * g_.c * g_.k, BFloat16());
    } else if (planes * c_width_ * k_width_ <= most_sums && units().count >= sum_chunks) {
      in_chunks();
    } else {
      in_stages();
    }
  }

 private:
  // Where pairs of tiles go: c or k / 32 blocks of planes of pairs of 32.
  struct Planes {
    BFloat16* data;
    std::int64_t pair, plane, block;
  };

  // Tiles first and first + 1; one that is not before `end` is wholly outside of every image.
  struct Pair {
    Tiling::Place at[2];
  };
  Pair pair(std::int64_t first, std::int64_t end) const {
    Pair pair{{tiling_.place(first), tiling_.place(first)}};
    tiling_.advance(pair.at[1]);
    if (first + 1 >= end) pair.at[1].y = -2 * (g_.h + g_.kernel.h);
    return pair;
  }
  // The planes of a pair of tiles into pair `to`: of channels c0 ... c0 + c - 1 of x, whole blocks.
  void transform_x(const Pair& pair, std::int64_t c0, std::int64_t c, std::int64_t to,
                   const Planes& v) const {
    const BFloat16* list[2][planes];
    for (const Input::Part& part : in_.parts) {
      const std::int64_t first = std::max(c0 - part.first, std::int64_t{0});
      const std::int64_t n = std::min(c0 + c - part.first, part.images.c) - first;
      if (n <= 0) continue;
      In images = part.images;
      images.data += first;
      Bf16In pixels[2];
      for (std::size_t j = 0; j < 2; ++j)
        pixels[j] = images.window<6>(pair.at[j].image, pair.at[j].y - g_.padding.h,
                                     pair.at[j].x - g_.padding.w, zeros_.data(), list[j]);
      Bf16Norm norm = Input::norm(part, zeros_.data());
      if (norm.factors) norm.factors += 2 * first;
      winograd_bf16_input_pair(
          pixels, norm, n, 8 * images.c,
          {v.data + to * v.pair + (part.first + first - c0) / bf16_block * v.block, v.plane, v.block});
    }
  }
  // The same of outputs k0 ... k0 + k - 1 of dy.
  void transform_dy(const Pair& pair, std::int64_t k0, std::int64_t k, std::int64_t to,
                    const Planes& w) const {
    const BFloat16* list[2][16];
    const In grads{dy_.data + k0, dy_.n, dy_.h, dy_.w, dy_.c};
    Bf16In pixels[2];
    for (std::size_t j = 0; j < 2; ++j)
      pixels[j] = grads.window<4>(pair.at[j].image, pair.at[j].y, pair.at[j].x, zeros_.data(), list[j]);
    winograd_bf16_gradient_pair(pixels, std::min(k, g_.k - k0), 8 * g_.k,
                                {w.data + to * w.pair, w.plane, w.block});
  }

  // Sums of planes [q][32 channels][32 outputs] to taps, outputs outermost as the weights have them.
  void finish(const float* sums, std::int64_t plane, std::int64_t c0, std::int64_t n, std::int64_t k0) const {
    alignas(64) float taps[9][16 * bf16_block];
    for (; n > 0 && c0 < g_.c; c0 += 16, n -= 16, sums += 16 * bf16_block) {
      winograd_bf16_filter_gradient(sums, plane, taps[0], 16 * bf16_block, 16 * bf16_block);
      for (std::int64_t t = 0; t < 9; ++t)
        for (std::int64_t k = k0; k < std::min(k0 + bf16_block, g_.k); k += 16)
          transpose_rounded(taps[t] + k - k0, bf16_block, dweight_ + (k * 9 + t) * g_.c + c0, 9 * g_.c,
                            g_.k - k, g_.c - c0);
    }
  }

  Tiling::Units units() const { return tiling_.units(planes * 2 * (c_width_ + k_width_)); }
  void in_chunks();
  void in_stages();

  const ConvGeometry& g_;
  const Tiling tiling_;
  const Input in_;
  const In dy_;
  BFloat16* const dweight_;
  const std::int64_t c_width_, k_width_;
  const std::vector<BFloat16> zeros_;
};

// Sums that stay in the L2 cache: every task transforms units of tiles and adds them to its own sums, those
// of a fixed chunk of the tiles, which are added up in order at the end.
void WeightGradient::in_chunks() {
  const std::int64_t blocks = k_width_ / bf16_block;
  // As many units in each, so that threads have equal shares.
  const Tiling::Units units = tiling_.even(this->units(), sum_chunks);
  const std::int64_t sum_plane = c_width_ * bf16_block + skew / 2, sum_block = planes * sum_plane;
  const std::int64_t size = blocks * sum_block;
  Tensor partial = empty({sum_chunks * size});
  parallel_for(sum_chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t pairs = units.tiles / 2;
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t v_plane = 2 * c_width_ + skew, w_plane = pairs * 2 * bf16_block + skew;
      const Planes v{bf16_scratch(pairs * planes * v_plane, 0), planes * v_plane, v_plane, 2 * bf16_block};
      const Planes w{bf16_scratch(blocks * planes * w_plane, 1), 2 * bf16_block, w_plane, planes * w_plane};
      float* sums = partial.data<float>() + chunk * size;
      std::fill_n(sums, size, 0.0f);
      for (std::int64_t unit = chunk * units.count / sum_chunks;
           unit < (chunk + 1) * units.count / sum_chunks; ++unit) {
        const std::int64_t first = unit * units.tiles, last = std::min(first + units.tiles, tiling_.count);
        for (std::int64_t i = first; i < last; i += 2) {
          const Pair tiles = pair(i, last);
          transform_x(tiles, 0, c_width_, (i - first) / 2, v);
          transform_dy(tiles, 0, g_.k, (i - first) / 2, w);
        }
        for (std::int64_t block = 0; block < blocks; ++block)
          for (std::int64_t q = 0; q < planes; ++q)
            bf16_weight_tiles({.x = v.data + q * v.plane,
                               .x_pair = v.pair,
                               .elements = c_width_,
                               .dy = w.data + block * w.block + q * w.plane,
                               .pairs = ceil_div(last - first, 2),
                               .sums = sums + block * sum_block + q * sum_plane,
                               .next = sums + block * sum_block + (q + 1) * sum_plane});
      }
    }
  });
  const std::int64_t pieces = c_width_ / 16;
  parallel_for(blocks * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t block = task / pieces, c0 = task % pieces * 16, n = 16 * bf16_block;
      float* sums = partial.data<float>() + block * sum_block + c0 * bf16_block;
      for (std::int64_t chunk = 1; chunk < sum_chunks; ++chunk)
        for (std::int64_t q = 0; q < planes; ++q)
          bf16_add_sums(sums + chunk * size + q * sum_plane, n, sums + q * sum_plane);
      finish(sums, sum_plane, c0, 16, block * bf16_block);
    }
  });
}

// Sums that do not: a task has channels of its own, for which it transforms x, and so many tiles at a time
// that adding them up takes longer than fetching the sums. Planes of dy are transformed for each task again:
// cheaper than to share them where the cores have no cache in common.
void WeightGradient::in_stages() {
  const std::int64_t c_blocks = c_width_ / bf16_block, k_blocks = k_width_ / bf16_block,
                     threads = num_threads();
  // Tasks are as even as blocks are; how many there are changes no bit.
  const std::int64_t even = c_blocks % threads == 0 ? threads : 2 * threads;
  const std::int64_t c_tasks = std::min(std::max(even, ceil_div(c_blocks, std::int64_t{8})), c_blocks);
  const std::int64_t k_tasks = std::min(ceil_div(threads, c_tasks), k_blocks);
  const std::int64_t all_pairs = ceil_div(tiling_.count, 2);
  constexpr std::int64_t side = 2;  // blocks that are multiplied by as many
  const std::int64_t bytes_of_a_pair = planes * 4 * bf16_block * (ceil_div(c_blocks, c_tasks) + side);
  const std::int64_t sum_bytes =
      planes * 4 * bf16_block * bf16_block * ceil_div(c_blocks, c_tasks) * ceil_div(k_blocks, k_tasks);
  const std::int64_t fit = std::clamp(sum_bytes, least_stage, most_stage) / bytes_of_a_pair;
  const std::int64_t stages = ceil_div(all_pairs, std::max<std::int64_t>(fit, 64));
  const std::int64_t pairs = ceil_div(all_pairs, stages);
  const std::int64_t plane = pairs * 2 * bf16_block + skew, block = planes * plane;
  // Sums are [block of channels][block of outputs][plane][32][32].
  const std::int64_t sum_plane = bf16_block * bf16_block + skew / 2, sum_block = planes * sum_plane;
  Tensor kept = stages > 1 ? zeros({c_blocks * k_blocks * sum_block}) : Tensor();
  parallel_for(c_tasks * k_tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t c_task = task / k_tasks, k_task = task % k_tasks;
      const std::int64_t c_begin = c_task * c_blocks / c_tasks, c_end = (c_task + 1) * c_blocks / c_tasks;
      const std::int64_t k_begin = k_task * k_blocks / k_tasks, k_end = (k_task + 1) * k_blocks / k_tasks;
      Tensor transformed = empty({(c_end - c_begin + side) * block}, {.dtype = bf16});
      const Planes v{transformed.data<BFloat16>(), 2 * bf16_block, plane, block};
      const Planes w{v.data + (c_end - c_begin) * block, 2 * bf16_block, plane, block};
      for (std::int64_t stage = 0; stage < stages; ++stage) {
        const std::int64_t first = stage * pairs, n = std::min(pairs, all_pairs - first);
        for (std::int64_t i = 0; i < n; ++i)
          transform_x(pair(2 * (first + i), tiling_.count), c_begin * bf16_block,
                      (c_end - c_begin) * bf16_block, i, v);
        for (std::int64_t k0 = k_begin; k0 < k_end; k0 += side) {
          const std::int64_t k1 = std::min(k0 + side, k_end);
          for (std::int64_t i = 0; i < n; ++i)
            transform_dy(pair(2 * (first + i), tiling_.count), k0 * bf16_block, (k1 - k0) * bf16_block, i, w);
          for (std::int64_t c0 = c_begin; c0 < c_end; c0 += side) {
            const std::int64_t c1 = std::min(c0 + side, c_end);
            float* local = stages > 1 ? nullptr : scratch(side * side * sum_block, 0);
            if (local) std::fill_n(local, side * side * sum_block, 0.0f);
            auto sums = [&](std::int64_t c, std::int64_t k) {
              return local ? local + ((c - c0) * side + k - k0) * sum_block
                           : kept.data<float>() + (c * k_blocks + k) * sum_block;
            };
            for (std::int64_t q = 0; q < planes; ++q)
              for (std::int64_t c = c0; c < c1; ++c)
                for (std::int64_t k = k0; k < k1; ++k)
                  bf16_weight_tiles({.x = v.data + (c - c_begin) * block + q * plane,
                                     .x_pair = 2 * bf16_block,
                                     .elements = bf16_block,
                                     .dy = w.data + (k - k0) * block + q * plane,
                                     .pairs = n,
                                     .sums = sums(c, k) + q * sum_plane,
                                     .next = local ? nullptr : sums(c, k) + (q + 1) * sum_plane});
            for (std::int64_t c = c0; c < c1 && stage == stages - 1; ++c)
              for (std::int64_t k = k0; k < k1; ++k)
                finish(sums(c, k), sum_plane, c * bf16_block, bf16_block, k * bf16_block);
          }
        }
      }
    }
  });
}

}  // namespace

void conv2d_backward_weight_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                          Tensor& dweight) {
  WeightGradient(g, x, dy, dweight).run();
}

}  // namespace karyon::cpu
