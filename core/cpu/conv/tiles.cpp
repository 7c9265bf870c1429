// The register tiles. The sums of a tile of outputs (14 pixels x 2 vectors with AVX-512) stay in registers
// over the whole filter. Each step loads two filter vectors and multiplies them by one broadcast input per
// pixel. It does 28 fused multiply-adds for 16 loads, so the FMA units are the limit.
#include <algorithm>
#include <utility>

#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/conv/tiles.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/highway.h>
#include <karyon/core/cpu/conv/finish-inl.h>
#include <karyon/core/cpu/simd/at_least-inl.h>
#include <karyon/core/cpu/simd/values-inl.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {

// Accumulators that fit beside two filter vectors and a broadcast: 32 registers or 16.
constexpr int max_pixels = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 14 : 6;

// The fewest pieces of at most max_pixels that add up to n, made even: 16 = 8 + 8, not 14 + 2.
struct Pieces {
  std::int64_t count, size, longer;
  explicit Pieces(std::int64_t n) : count(ceil_div(n, max_pixels)), size(n / count), longer(n % count) {}
  std::int64_t length(std::int64_t i) const { return size + (i < longer ? 1 : 0); }
};

// Load or store the first n values only; the others are 0. Masked operations below AVX2 (and on NEON) touch
// whole vectors, beyond the end of an array or in another thread's part of it.
V load_part(const float* from, std::int64_t n) {
  HWY_ALIGN float whole[16] = {};
  std::copy(from, from + n, whole);
  return hn::Load(d, whole);
}
void store_part(V value, float* to, std::int64_t n) {
  HWY_ALIGN float whole[16];
  hn::Store(value, d, whole);
  std::copy(whole, whole + n, to);
}

// The sums of a register tile at first: the bias, or what y holds.
template <int pixels, int vectors>
HWY_INLINE void start_tile(const ForwardTiles& t, const float* y, V (&acc)[pixels][vectors]) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in_last = t.outputs - (vectors - 1) * lanes;
  const bool whole = in_last == lanes;
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p) {
      const float* from = y + p * t.y_pixel;
      if constexpr (vectors == 2) acc[p][0] = hn::LoadU(d, from);
      from += (vectors - 1) * lanes;
      acc[p][vectors - 1] = whole ? hn::LoadU(d, from) : load_part(from, in_last);
    }
    return;
  }
  V start[vectors];
  if constexpr (vectors == 2) start[0] = t.bias ? hn::LoadU(d, t.bias) : hn::Zero(d);
  const float* last = t.bias ? t.bias + (vectors - 1) * lanes : nullptr;
  start[vectors - 1] = !last ? hn::Zero(d) : whole ? hn::LoadU(d, last) : load_part(last, in_last);
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) acc[p][v] = start[v];
}

// The last steps on the sums of a register tile, which belong to y.
template <int pixels, int vectors>
HWY_INLINE void finish_tile(const ForwardTiles& t, const float* y, V (&acc)[pixels][vectors]) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const TileFinish& finish = *t.finish;
  const float* const residual = finish.residual ? finish.residual + (y - t.y) : nullptr;
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) {
    const std::int64_t count = std::min(lanes, t.outputs - v * lanes);
    const auto load = [&](const float* from) {
      return count == lanes ? hn::LoadU(d, from) : load_part(from, count);
    };
    const V scale = finish.scale ? load(finish.scale + v * lanes) : hn::Set(d, 1);
    const V shift = finish.shift ? load(finish.shift + v * lanes) : hn::Zero(d);
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p) {
      V value = hn::MulAdd(scale, acc[p][v], shift);
      if (residual) value = hn::Add(value, load(residual + p * t.y_pixel + v * lanes));
      acc[p][v] = activated(d, finish.activation, value);
    }
  }
}

template <int pixels, int vectors>
HWY_INLINE void store_tile(const ForwardTiles& t, const V (&acc)[pixels][vectors], float* y) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t in_last = t.outputs - (vectors - 1) * lanes;
  if (t.nontemporal) {
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) hn::Stream(acc[p][v], d, y + p * t.y_pixel + v * lanes);
    return;
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    float* to = y + p * t.y_pixel;
    if constexpr (vectors == 2) hn::StoreU(acc[p][0], d, to);
    to += (vectors - 1) * lanes;
    if (in_last == lanes) {
      hn::StoreU(acc[p][vectors - 1], d, to);
    } else {
      store_part(acc[p][vectors - 1], to, in_last);
    }
  }
}

template <int pixels, int vectors>
void forward_tile(const ForwardTiles& t, const float* HWY_RESTRICT x, float* HWY_RESTRICT y) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V acc[pixels][vectors];
  start_tile(t, y, acc);
  const float* HWY_RESTRICT filter = t.filter;
  const std::int64_t ahead = t.ahead;
  for (std::int64_t r = 0; r < t.run_count; ++r) {
    const float* HWY_RESTRICT in = x + t.runs[r].offset;
    const std::int64_t length = t.runs[r].length;
    filter += t.runs[r].skip * vectors * lanes;
    for (std::int64_t e = 0; e < length; ++e) {
      V f[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        f[v] = hn::LoadU(d, filter + v * lanes);
        __builtin_prefetch(filter + ahead + v * lanes, 0, 2);
      }
      filter += vectors * lanes;
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const V value = hn::Set(d, in[p * t.x_pixel + e]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) acc[p][v] = hn::MulAdd(value, f[v], acc[p][v]);
      }
    }
  }
  if (t.finish) finish_tile(t, y, acc);
  store_tile(t, acc, y);
}

// partial[0..elements) (+)= sum over the grid of x[0..elements) * dy. The old contents are added last: the
// sum of a grid keeps its digits, and nothing waits for the load.
template <int elements, int vectors>
void weight_tile(const WeightTiles& t, const float* HWY_RESTRICT x, float* HWY_RESTRICT partial,
                 const float* ahead, std::int64_t ahead_step) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V acc[elements][vectors];
#pragma GCC unroll 16
  for (int e = 0; e < elements; ++e)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) acc[e][v] = hn::Zero(d);
  const std::int64_t dy_pixel = t.dy_pixel ? t.dy_pixel : vectors * lanes;
  const std::int64_t dy_row = t.dy_row ? t.dy_row : t.cols * vectors * lanes;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const float* HWY_RESTRICT dy = t.dy + i * dy_row;
    const float* HWY_RESTRICT in = x + i * t.x_row;
    for (std::int64_t j = 0; j < t.cols; ++j) {
      V g[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) g[v] = hn::LoadU(d, dy + v * lanes);
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
#pragma GCC unroll 16
      for (int e = 0; e < elements; ++e) {
        const V value = hn::Set(d, in[e]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) acc[e][v] = hn::MulAdd(value, g[v], acc[e][v]);
      }
      dy += dy_pixel;
      in += t.x_pixel;
    }
  }
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int e = 0; e < elements; ++e)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        acc[e][v] = hn::Add(hn::LoadU(d, partial + (e * vectors + v) * lanes), acc[e][v]);
  }
#pragma GCC unroll 16
  for (int e = 0; e < elements; ++e)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) hn::StoreU(acc[e][v], d, partial + (e * vectors + v) * lanes);
}

using ForwardFn = void (*)(const ForwardTiles&, const float*, float*);
using WeightFn = void (*)(const WeightTiles&, const float*, float*, const float*, std::int64_t);

template <int vectors, int... n>
constexpr ForwardFn forward_fn(int pixels, std::integer_sequence<int, n...>) {
  constexpr ForwardFn table[] = {forward_tile<n + 1, vectors>...};
  return table[pixels - 1];
}
template <int vectors, int... n>
constexpr WeightFn weight_fn(int elements, std::integer_sequence<int, n...>) {
  constexpr WeightFn table[] = {weight_tile<n + 1, vectors>...};
  return table[elements - 1];
}
using Sizes = std::make_integer_sequence<int, max_pixels>;

void forward_tiles(const ForwardTiles& t) {
  const bool two = t.outputs > static_cast<std::int64_t>(hn::Lanes(d));
  const Pieces pieces(t.cols);
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const float* x = t.x + i * t.x_row;
    float* y = t.y + i * t.y_row;
    for (std::int64_t piece = 0; piece < pieces.count; ++piece) {
      const std::int64_t pixels = pieces.length(piece);
      const auto n = static_cast<int>(pixels);
      (two ? forward_fn<2>(n, Sizes{}) : forward_fn<1>(n, Sizes{}))(t, x, y);
      x += pixels * t.x_pixel;
      y += pixels * t.y_pixel;
    }
  }
}

void weight_tiles(const WeightTiles& t) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const bool two = t.outputs > lanes;
  float* partial = t.partial;
  std::int64_t pixels = 0;  // pixels of all register tiles together
  for (std::int64_t r = 0; r < t.run_count; ++r) pixels += Pieces(t.runs[r].length).count * t.rows * t.cols;
  const std::int64_t ahead_step = pixels > 0 ? ceil_div(t.ahead_floats, pixels) : 0;
  const float* ahead = t.ahead ? t.ahead : t.dy;
  for (std::int64_t r = 0; r < t.run_count; ++r) {
    const float* x = t.x + t.runs[r].offset;
    const Pieces pieces(t.runs[r].length);
    for (std::int64_t piece = 0; piece < pieces.count; ++piece) {
      const std::int64_t elements = pieces.length(piece);
      const auto n = static_cast<int>(elements);
      (two ? weight_fn<2>(n, Sizes{}) : weight_fn<1>(n, Sizes{}))(t, x, partial, ahead, ahead_step);
      x += elements;
      partial += elements * (two ? 2 : 1) * lanes;
      ahead += t.rows * t.cols * ahead_step;
    }
  }
}

template <bool affine>
V split_vector(const PixelPanels& p, const float* from, std::int64_t c) {
  const V value = hn::LoadU(d, from + c);
  if constexpr (!affine) return value;
  return at_least(hn::Zero(d), hn::MulAdd(value, hn::LoadU(d, p.scale + c), hn::LoadU(d, p.shift + c)));
}

// Panels of `vectors` each.
template <bool affine, int vectors>
void split_whole(const PixelPanels& p) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t width = vectors * static_cast<std::int64_t>(hn::MaxLanes(D()));
  const std::int64_t whole = p.channels / width;
  const float* HWY_RESTRICT from = p.from;
  for (std::int64_t pixel = 0; pixel < p.count; ++pixel, from += p.pixel) {
    float* HWY_RESTRICT to = p.to + pixel * width;
    for (std::int64_t i = 0; i < whole; ++i, to += p.panel)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v)
        hn::StoreU(split_vector<affine>(p, from, i * width + v * lanes), d, to + v * lanes);
  }
}

// One panel of any width.
template <bool affine>
void split_panel(const PixelPanels& p) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t whole = p.channels / lanes * lanes, rest = p.channels - whole;
  const std::int64_t step = p.padded && rest > 0 ? whole + lanes : p.channels;
  const float* from = p.from;
  float* to = p.to;
  for (std::int64_t pixel = 0; pixel < p.count; ++pixel, from += p.pixel, to += step) {
    for (std::int64_t c = 0; c < whole; c += lanes) hn::StoreU(split_vector<affine>(p, from, c), d, to + c);
    if (rest == 0) continue;
    if (p.padded) {
      hn::StoreU(load_part(from + whole, rest), d, to + whole);
    } else {
      std::copy(from + whole, from + p.channels, to + whole);
    }
  }
}

template <bool affine>
void split_pixels(const PixelPanels& p) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (p.channels % p.width == 0) {
    if (p.width == lanes) return split_whole<affine, 1>(p);
    if (p.width == 2 * lanes) return split_whole<affine, 2>(p);
    if (p.width == 4 * lanes) return split_whole<affine, 4>(p);
  }
  PixelPanels one = p;
  for (std::int64_t c = 0; c < p.channels; c += p.width) {
    one.channels = std::min(p.width, p.channels - c);
    split_panel<affine>(one);
    one.from += p.width;
    one.to += p.panel;
    if constexpr (affine) {
      one.scale += p.width;
      one.shift += p.width;
    }
  }
}

void split(const PixelPanels& p) {
  const bool as_it_lies = p.channels == p.pixel && p.channels <= p.width && !p.scale &&
                          (!p.padded || p.channels % static_cast<std::int64_t>(hn::Lanes(d)) == 0);
  if (as_it_lies) {
    std::copy(p.from, p.from + p.count * p.channels, p.to);
  } else {
    p.scale ? split_pixels<true>(p) : split_pixels<false>(p);
  }
}

#if HWY_TARGET != HWY_SCALAR
// Transposes 4 x 4 floats within blocks of 128 bits.
template <class Tag, int n>
HWY_INLINE void transpose_within_blocks(Tag tag, hn::Vec<Tag> (&row)[n]) {
  const hn::Repartition<double, Tag> pairs;
#pragma GCC unroll 4
  for (int i = 0; i < n; i += 4) {
    const auto a = hn::BitCast(pairs, hn::InterleaveLower(tag, row[i], row[i + 1])),
               b = hn::BitCast(pairs, hn::InterleaveUpper(tag, row[i], row[i + 1])),
               c = hn::BitCast(pairs, hn::InterleaveLower(tag, row[i + 2], row[i + 3])),
               e = hn::BitCast(pairs, hn::InterleaveUpper(tag, row[i + 2], row[i + 3]));
    row[i] = hn::BitCast(tag, hn::InterleaveLower(pairs, a, c));
    row[i + 1] = hn::BitCast(tag, hn::InterleaveUpper(pairs, a, c));
    row[i + 2] = hn::BitCast(tag, hn::InterleaveLower(pairs, b, e));
    row[i + 3] = hn::BitCast(tag, hn::InterleaveUpper(pairs, b, e));
  }
}

// Transposes the blocks of 128 bits as wholes.
template <class Tag, int n>
HWY_INLINE void transpose_blocks(Tag tag, hn::Vec<Tag> (&row)[n]) {
  hn::Vec<Tag> next[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i)
    if (i % 8 < 4) {
      next[i] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(row[i + 4]), row[i]);
      next[i + 4] = hn::OddEvenBlocks(row[i + 4], hn::SwapAdjacentBlocks(row[i]));
    }
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) row[i] = next[i];
  if constexpr (n >= 16) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[i] = hn::ConcatLowerLower(tag, row[i + 8], row[i]);
      next[i + 8] = hn::ConcatUpperUpper(tag, row[i + 8], row[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) row[i] = next[i];
  }
}
#endif

// A square of as many vectors as lanes.
template <bool nontemporal, class Tag>
void transpose_square(Tag tag, const float* from, std::int64_t from_stride, float* to,
                      std::int64_t to_stride) {
  constexpr int n = static_cast<int>(hn::MaxLanes(Tag()));
  hn::Vec<Tag> row[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) row[i] = hn::LoadU(tag, from + i * from_stride);
#if HWY_TARGET != HWY_SCALAR
  if constexpr (n >= 4) transpose_within_blocks(tag, row);
  if constexpr (n >= 8) transpose_blocks(tag, row);
#endif
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) {
    if constexpr (nontemporal) {
      hn::Stream(row[i], tag, to + i * to_stride);
    } else {
      hn::StoreU(row[i], tag, to + i * to_stride);
    }
  }
}

void transpose(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols, float* to,
               std::int64_t to_stride, bool nontemporal) {
  constexpr auto n = static_cast<std::int64_t>(hn::MaxLanes(D()));
  for (std::int64_t i = 0; i < rows; i += n)
    for (std::int64_t j = 0; j < cols; j += n) {
      const float* in = from + i * from_stride + j;
      float* out = to + j * to_stride + i;
      if (i + n <= rows && j + n <= cols) {
        nontemporal ? transpose_square<true>(d, in, from_stride, out, to_stride)
                    : transpose_square<false>(d, in, from_stride, out, to_stride);
        continue;
      }
      for (std::int64_t q = 0; q < std::min(n, cols - j); ++q)
        for (std::int64_t p = 0; p < std::min(n, rows - i); ++p)
          out[q * to_stride + p] = in[p * from_stride + q];
    }
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(forward_tiles);
HWY_EXPORT(weight_tiles);
HWY_EXPORT(split);
HWY_EXPORT(transpose);

}  // namespace

void conv_forward_tiles(const ForwardTiles& tiles) { HWY_DYNAMIC_DISPATCH(forward_tiles)(tiles); }
void conv_weight_tiles(const WeightTiles& tiles) { HWY_DYNAMIC_DISPATCH(weight_tiles)(tiles); }
void conv_split_pixels(const PixelPanels& pixels) { HWY_DYNAMIC_DISPATCH(split)(pixels); }
void conv_transpose(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols,
                    float* to, std::int64_t to_stride, bool nontemporal) {
  HWY_DYNAMIC_DISPATCH(transpose)(from, from_stride, rows, cols, to, to_stride, nontemporal);
}
std::int64_t conv_panel_width() { return 2 * simd_lanes(); }

}  // namespace karyon::cpu
#endif
