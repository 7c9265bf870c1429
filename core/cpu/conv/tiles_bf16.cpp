// The register tiles in bf16. As in tiles.cpp, the sums of 14 pixels x 2 vectors of outputs stay in
// registers. A broadcast holds two neighbouring values of the input, and a vector of the filter holds such
// pairs for 16 outputs.
#include <algorithm>
#include <utility>

#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/simd/simd.h>

#include <karyon/core/cpu/simd/bf16_dot.h>

namespace karyon::cpu {

#if KARYON_BF16_DOT
KARYON_BF16_BEGIN
namespace {

constexpr int max_pixels = 14;

__m512bh load(const BFloat16* from) { return (__m512bh)_mm512_loadu_si512(from); }
__m512bh broadcast_pair(const BFloat16* from) {
  std::int32_t pair;
  __builtin_memcpy(&pair, from, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}
__m512bh broadcast_one(const BFloat16* from) { return (__m512bh)_mm512_set1_epi32(from->bits); }
__mmask16 first_of_16(std::int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : (1 << std::max<std::int64_t>(n, 0)) - 1);
}
__mmask32 first_of_32(std::int64_t n) {
  return n >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<std::int64_t>(n, 0)) - 1;
}

// The sums of a register tile at first: the bias, or what y holds.
template <int pixels, int vectors, class Out>
[[gnu::always_inline]] inline void start_tile(const Bf16Tiles& t, const Out* y,
                                              __m512 (&acc)[pixels][vectors]) {
  if (std::is_same_v<Out, float> && t.accumulate) {
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) acc[p][v] = _mm512_loadu_ps(y + p * t.y_pixel + 16 * v);
    return;
  }
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) {
    const __m512 start = t.bias ? _mm512_loadu_ps(t.bias + 16 * v) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p) acc[p][v] = start;
  }
}

template <int pixels, int vectors>
[[gnu::always_inline]] inline void apply(const Epilogue& epilogue, __m512 (&acc)[pixels][vectors]) {
  const __m512 floor = _mm512_set1_ps(epilogue.floor);
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v) {
    const __m512 scale = _mm512_loadu_ps(epilogue.scale + 16 * v),
                 shift = _mm512_loadu_ps(epilogue.shift + 16 * v);
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p)  // in this order NaN stays NaN
      acc[p][v] = _mm512_max_ps(floor, _mm512_fmadd_ps(acc[p][v], scale, shift));
  }
}

template <int pixels, int vectors, class Out>
[[gnu::always_inline]] inline void store_tile(const Bf16Tiles& t, const __m512 (&acc)[pixels][vectors],
                                              Out* y) {
  if constexpr (std::is_same_v<Out, BFloat16> && vectors == 2) {
    if (t.nontemporal) {
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(y + p * t.y_pixel),
                            (__m512i)_mm512_cvtne2ps_pbh(acc[p][1], acc[p][0]));
      return;
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      if constexpr (std::is_same_v<Out, float>) {
        _mm512_storeu_ps(y + p * t.y_pixel + 16 * v, acc[p][v]);
      } else {
        _mm256_mask_storeu_epi16(y + p * t.y_pixel + 16 * v, first_of_16(t.outputs - 16 * v),
                                 (__m256i)_mm512_cvtneps_pbh(acc[p][v]));
      }
    }
}

template <int pixels, int vectors, class Out>
void forward_tile(const Bf16Tiles& t, const BFloat16* x, Out* y) {
  __m512 acc[pixels][vectors];
  start_tile(t, y, acc);
  const BFloat16* filter = t.filter;
  const std::int64_t ahead = t.ahead;
  for (std::int64_t r = 0; r < t.run_count; ++r) {
    const BFloat16* in = x + t.runs[r].offset;
    const std::int64_t length = t.runs[r].length;
    const auto step = [&](std::int64_t e, auto broadcast) __attribute__((always_inline)) {
      __m512bh f[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        f[v] = load(filter + 32 * v);
        __builtin_prefetch(filter + ahead + 32 * v, 0, 2);
      }
      filter += 2 * bf16_block;
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const __m512bh value = broadcast(in + p * t.x_pixel + e);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) acc[p][v] = _mm512_dpbf16_ps(acc[p][v], f[v], value);
      }
    };
    for (std::int64_t e = 0; e + 2 <= length; e += 2) step(e, broadcast_pair);
    if (length % 2 != 0) step(length - 1, broadcast_one);
  }
  if (t.epilogue) apply(*t.epilogue, acc);
  store_tile(t, acc, y);
}

template <int elements>
void weight_tile(const Bf16WeightTiles& t, const BFloat16* x, float* sums) {
  __m512 acc[elements][2];
#pragma GCC unroll 16
  for (int e = 0; e < elements; ++e)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) acc[e][v] = _mm512_loadu_ps(sums + e * bf16_block + 16 * v);
  const BFloat16* dy = t.dy;
  for (std::int64_t j = 0; j < t.pairs; ++j, x += t.x_pair, dy += 2 * bf16_block) {
    const __m512bh g[2] = {load(dy), load(dy + 32)};
#pragma GCC unroll 16
    for (int e = 0; e < elements; ++e) {
      const __m512bh value = broadcast_pair(x + 2 * e);
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) acc[e][v] = _mm512_dpbf16_ps(acc[e][v], g[v], value);
    }
  }
#pragma GCC unroll 16
  for (int e = 0; e < elements; ++e)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) _mm512_storeu_ps(sums + e * bf16_block + 16 * v, acc[e][v]);
}

// Calls f(begin, count) for the fewest pieces of at most max_pixels that add up to n, made even: 16 = 8 + 8.
template <class F>
void for_pieces(std::int64_t n, F f) {
  const std::int64_t pieces = ceil_div(n, max_pixels);
  for (std::int64_t i = 0, begin = 0; i < pieces; ++i) {
    const std::int64_t end = (i + 1) * n / pieces;
    f(begin, end - begin);
    begin = end;
  }
}

template <int vectors, class Out, int... n>
void forward_piece(std::int64_t pixels, const Bf16Tiles& t, const BFloat16* x, Out* y,
                   std::integer_sequence<int, n...>) {
  using Fn = void (*)(const Bf16Tiles&, const BFloat16*, Out*);
  static constexpr Fn table[] = {forward_tile<n + 1, vectors, Out>...};
  table[pixels - 1](t, x, y);
}
template <int... n>
void weight_piece(std::int64_t elements, const Bf16WeightTiles& t, const BFloat16* x, float* sums,
                  std::integer_sequence<int, n...>) {
  using Fn = void (*)(const Bf16WeightTiles&, const BFloat16*, float*);
  static constexpr Fn table[] = {weight_tile<n + 1>...};
  table[elements - 1](t, x, sums);
}
using Sizes = std::make_integer_sequence<int, max_pixels>;

template <class Out>
void forward_tiles(const Bf16Tiles& t, Out* y) {
  for_pieces(t.cols, [&](std::int64_t begin, std::int64_t count) {
    const BFloat16* x = t.x + begin * t.x_pixel;
    Out* to = y + begin * t.y_pixel;
    if (t.next.count > 0) {
      const Bf16Ahead next = t.next.share(begin, begin + count, t.cols);
      for (std::int64_t i = 0; i < next.count; i += 32) __builtin_prefetch(next.data + i, 0, 2);
    }
    if (t.outputs > 16) {
      forward_piece<2>(count, t, x, to, Sizes{});
    } else {
      forward_piece<1>(count, t, x, to, Sizes{});
    }
  });
}

}  // namespace

void bf16_forward_tiles(const Bf16Tiles& t, float* y) { forward_tiles(t, y); }
void bf16_forward_tiles(const Bf16Tiles& t, BFloat16* y) { forward_tiles(t, y); }
void bf16_weight_tiles(const Bf16WeightTiles& t) {
  for_pieces(t.elements, [&](std::int64_t begin, std::int64_t count) {
    for (std::int64_t i = begin; t.next && i < begin + count; ++i) {
      __builtin_prefetch(t.next + i * bf16_block, 0, 2);
      __builtin_prefetch(t.next + i * bf16_block + 16, 0, 2);
    }
    weight_piece(count, t, t.x + 2 * begin, t.sums + begin * bf16_block, Sizes{});
  });
}
void bf16_interleave(const BFloat16* x, std::int64_t x_pixel, std::int64_t pixels, std::int64_t n,
                     BFloat16* to, std::int64_t to_pair, std::int64_t width) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                       38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (std::int64_t i = 0; i < n; i += 32) {
    const __mmask32 mask = first_of_32(n - i);
    const __mmask32 low_part = first_of_32(2 * (width - i)), high_part = first_of_32(2 * (width - i) - 32);
    const BFloat16* from = x + i;
    BFloat16* out = to + 2 * i;
    for (std::int64_t p = 0; p < pixels; p += 2, from += 2 * x_pixel, out += to_pair) {
      const __m512i one = _mm512_maskz_loadu_epi16(mask, from);
      const __m512i other = _mm512_maskz_loadu_epi16(p + 1 < pixels ? mask : 0, from + x_pixel);
      _mm512_mask_storeu_epi16(out, low_part, _mm512_permutex2var_epi16(one, low, other));
      _mm512_mask_storeu_epi16(out + 32, high_part, _mm512_permutex2var_epi16(one, high, other));
    }
  }
}
void bf16_rounded(const float* from, std::int64_t n, BFloat16* to) {
  for (std::int64_t i = 0; i < n; i += 16)
    _mm256_mask_storeu_epi16(
        to + i, first_of_16(n - i),
        (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(first_of_16(n - i), from + i)));
}
KARYON_BF16_END

bool has_bf16_dot() {
  static const bool value = simd_lanes() == 16 && simd_allows_bf16() && __builtin_cpu_supports("avx512bf16");
  return value;
}
#else
bool has_bf16_dot() { return false; }
void bf16_rounded(const float*, std::int64_t, BFloat16*) {}
void bf16_forward_tiles(const Bf16Tiles&, float*) {}
void bf16_forward_tiles(const Bf16Tiles&, BFloat16*) {}
void bf16_weight_tiles(const Bf16WeightTiles&) {}
void bf16_interleave(const BFloat16*, std::int64_t, std::int64_t, std::int64_t, BFloat16*, std::int64_t,
                     std::int64_t) {}
#endif

}  // namespace karyon::cpu
