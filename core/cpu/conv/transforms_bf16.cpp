#include <algorithm>

#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/conv/transforms_bf16.h>

#include <karyon/core/cpu/simd/bf16_dot.h>

namespace karyon::cpu {

#if KARYON_BF16_DOT
KARYON_BF16_BEGIN
namespace {

using V = __m512;

// The points of the transforms, and the factors that follow from them.
constexpr double a = 5.0 / 8, b = 3.0 / 2, aa = a * a, bb = b * b;
constexpr double of_zero = 1 / (aa * bb), of_a = 1 / (2 * aa * (aa - bb)), of_b = 1 / (2 * bb * (bb - aa));

V set(double value) { return _mm512_set1_ps(static_cast<float>(value)); }
V add(V x, V y) { return _mm512_add_ps(x, y); }
V sub(V x, V y) { return _mm512_sub_ps(x, y); }
V times(double f, V x) { return _mm512_mul_ps(set(f), x); }
V plus(double f, V x, V y) { return _mm512_fmadd_ps(set(f), x, y); }    // f x + y
V minus(double f, V x, V y) { return _mm512_fnmadd_ps(set(f), x, y); }  // y - f x

// Each matrix M as out = M in, in one dimension.
struct InputMatrix {  // B^T
  static constexpr int in = 6, out = 6;
  static void apply(const V* x, V* o) {
    const V p = minus(bb, x[2], x[4]), q = minus(bb, x[1], x[3]);
    const V r = minus(aa, x[2], x[4]), s = minus(aa, x[1], x[3]);
    o[0] = plus(aa * bb, x[0], minus(aa + bb, x[2], x[4]));
    o[1] = plus(a, q, p);
    o[2] = minus(a, q, p);
    o[3] = plus(b, s, r);
    o[4] = minus(b, s, r);
    o[5] = plus(aa * bb, x[1], minus(aa + bb, x[3], x[5]));
  }
};
struct OutputMatrix {  // A^T
  static constexpr int in = 6, out = 4;
  static void apply(const V* x, V* o) {
    const V s1 = add(x[1], x[2]), d1 = sub(x[1], x[2]), s2 = add(x[3], x[4]), d2 = sub(x[3], x[4]);
    o[0] = add(x[0], add(s1, s2));
    o[1] = plus(b, d2, times(a, d1));
    o[2] = plus(bb, s2, times(aa, s1));
    o[3] = plus(b * bb, d2, plus(a * aa, d1, x[5]));
  }
};
struct OutputGradientMatrix {  // A
  static constexpr int in = 4, out = 6;
  static void apply(const V* x, V* o) {
    const V p = plus(aa, x[2], x[0]), q = plus(aa, x[3], x[1]);
    const V r = plus(bb, x[2], x[0]), s = plus(bb, x[3], x[1]);
    o[0] = x[0];
    o[1] = plus(a, q, p);
    o[2] = minus(a, q, p);
    o[3] = plus(b, s, r);
    o[4] = minus(b, s, r);
    o[5] = x[3];
  }
};
struct FilterMatrix {  // G
  static constexpr int in = 3, out = 6;
  static void apply(const V* x, V* o) {
    const V p = plus(of_a * aa, x[2], times(of_a, x[0])), q = times(of_a * a, x[1]);
    const V r = plus(of_b * bb, x[2], times(of_b, x[0])), s = times(of_b * b, x[1]);
    o[0] = times(of_zero, x[0]);
    o[1] = add(p, q);
    o[2] = sub(p, q);
    o[3] = add(r, s);
    o[4] = sub(r, s);
    o[5] = x[2];
  }
};
struct FilterGradientMatrix {  // G^T
  static constexpr int in = 6, out = 3;
  static void apply(const V* x, V* o) {
    const V s1 = add(x[1], x[2]), d1 = sub(x[1], x[2]), s2 = add(x[3], x[4]), d2 = sub(x[3], x[4]);
    o[0] = plus(of_zero, x[0], plus(of_a, s1, times(of_b, s2)));
    o[1] = plus(of_a * a, d1, times(of_b * b, d2));
    o[2] = plus(of_a * aa, s1, plus(of_b * bb, s2, x[5]));
  }
};

// A vector of 32 bf16 becomes two of f32: one of the even and one of the odd channels.
V even(__m512i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }
V odd(__m512i x) { return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-65536))); }
// Halves of 16 to pairs: 0, 16, 1, 17, ...
__m512i zip_index() {
  return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                          20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
}
__m512i halves(V low, V high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

__mmask32 first(std::int64_t n) {
  return n >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<std::int64_t>(n, 0)) - 1;
}

// Pixel j of row i of a tile of `width` columns.
template <bool listed, int width, class T>
T* at(const Bf16Pixels<T>& x, int i, int j) {
  return listed ? x.each[i * width + j] : x.first + i * x.row + j * x.pixel;
}

// Rows of 32 channels of a tile into buffers of even and odd ones, M applied along them.
template <class M, bool normed, bool listed>
void rows(const Bf16In& x, const Bf16Norm& norm, std::int64_t c, __mmask32 mask, std::int64_t ahead, V* evens,
          V* odds) {
  V even_scale, odd_scale, even_shift, odd_shift;
  if constexpr (normed) {
    const float* factors = norm.factors + 2 * c;
    even_scale = _mm512_loadu_ps(factors), odd_scale = _mm512_loadu_ps(factors + 16);
    even_shift = _mm512_loadu_ps(factors + 32), odd_shift = _mm512_loadu_ps(factors + 48);
  }
#pragma GCC unroll 1
  for (int i = 0; i < M::in; ++i) {
    V e[M::in], o[M::in], changed[M::out];
#pragma GCC unroll 6
    for (int j = 0; j < M::in; ++j) {
      const BFloat16* pixel = at<listed, M::in>(x, i, j);
      const __m512i both = _mm512_maskz_loadu_epi16(mask, pixel + c);
      e[j] = even(both);
      o[j] = odd(both);
      if constexpr (normed) {
        const V zero = _mm512_setzero_ps();  // NaN stays NaN
        const auto inside = static_cast<__mmask16>(listed && pixel == norm.outside ? 0 : 0xffff);
        e[j] = _mm512_maskz_max_ps(inside, zero, _mm512_fmadd_ps(even_scale, e[j], even_shift));
        o[j] = _mm512_maskz_max_ps(inside, zero, _mm512_fmadd_ps(odd_scale, o[j], odd_shift));
      }
    }
    if (M::in > 3) {
#pragma GCC unroll 4
      for (int j = M::in - 4; j < M::in; ++j) __builtin_prefetch(at<listed, M::in>(x, i, j) + c + ahead);
    }
    M::apply(e, changed);
#pragma GCC unroll 6
    for (int j = 0; j < M::out; ++j) evens[i * M::out + j] = changed[j];
    M::apply(o, changed);
#pragma GCC unroll 6
    for (int j = 0; j < M::out; ++j) odds[i * M::out + j] = changed[j];
  }
}

// One column of such a buffer, M applied.
template <class M>
void column(const V* buffer, int j, V* changed) {
  V x[M::in];
#pragma GCC unroll 6
  for (int i = 0; i < M::in; ++i) x[i] = buffer[i * M::out + j];
  M::apply(x, changed);
}

// out = M in M^T, through buffers that stay in L1: all of a tile does not fit in registers.
template <class M, bool normed = false>
void transform(const Bf16In& x, const Bf16Norm& norm, std::int64_t channels, std::int64_t ahead,
               const Bf16Planes& planes) {
  const auto into_rows = x.each ? rows<M, normed, true> : rows<M, normed, false>;
  alignas(64) V evens[M::in * M::out], odds[M::in * M::out];
  const __m512i zip = zip_index();
  BFloat16* to = planes.data;
  for (std::int64_t c = 0; c < channels; c += 32, to += planes.block) {
    into_rows(x, norm, c, first(channels - c), ahead, evens, odds);
#pragma GCC unroll 1
    for (int j = 0; j < M::out; ++j) {
      V e[M::out], o[M::out];
      column<M>(evens, j, e);
      column<M>(odds, j, o);
#pragma GCC unroll 6
      for (int i = 0; i < M::out; ++i)
        _mm512_storeu_si512(to + (i * M::out + j) * planes.plane,
                            _mm512_permutexvar_epi16(zip, halves(e[i], o[i])));
    }
  }
}

template <class M, bool normed = false>
void transform_pair(const Bf16In (&x)[2], const Bf16Norm& norm, std::int64_t channels, std::int64_t ahead,
                    const Bf16Planes& planes) {
  alignas(64) V evens[2][M::in * M::out], odds[2][M::in * M::out];
  // Even channels of both tiles, odd ones of both: 0, 16, 32, 48, 1, 17, 33, 49, ...
  const __m512i low = _mm512_set_epi16(55, 39, 23, 7, 54, 38, 22, 6, 53, 37, 21, 5, 52, 36, 20, 4, 51, 35, 19,
                                       3, 50, 34, 18, 2, 49, 33, 17, 1, 48, 32, 16, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(8));
  BFloat16* to = planes.data;
  for (std::int64_t c = 0; c < channels; c += 32, to += planes.block) {
    const __mmask32 mask = first(channels - c);
    for (int i = 0; i < 2; ++i)
      (x[i].each ? rows<M, normed, true> : rows<M, normed, false>)(x[i], norm, c, mask, ahead, evens[i],
                                                                   odds[i]);
#pragma GCC unroll 1
    for (int j = 0; j < M::out; ++j) {
      V one[M::out], other[M::out];
      __m512i both[M::out];
      column<M>(evens[0], j, one);
      column<M>(evens[1], j, other);
#pragma GCC unroll 6
      for (int i = 0; i < M::out; ++i) both[i] = halves(one[i], other[i]);
      column<M>(odds[0], j, one);
      column<M>(odds[1], j, other);
#pragma GCC unroll 6
      for (int i = 0; i < M::out; ++i) {
        const __m512i odd_ones = halves(one[i], other[i]);
        BFloat16* at = to + (i * M::out + j) * planes.plane;
        _mm512_storeu_si512(at, _mm512_permutex2var_epi16(both[i], low, odd_ones));
        _mm512_storeu_si512(at + 32, _mm512_permutex2var_epi16(both[i], high, odd_ones));
      }
    }
  }
}

// Rows, then columns, of f32 planes in memory.
template <class M>
void f32_rows(const float* planes, std::int64_t plane, V* buffer) {
#pragma GCC unroll 1
  for (int i = 0; i < M::in; ++i) {
    V x[M::in], changed[M::out];
#pragma GCC unroll 6
    for (int j = 0; j < M::in; ++j) x[j] = _mm512_loadu_ps(planes + (i * M::in + j) * plane);
    M::apply(x, changed);
#pragma GCC unroll 4
    for (int j = 0; j < M::out; ++j) buffer[i * M::out + j] = changed[j];
  }
}

// Sums of outputs minus a centre, of even and of odd channels.
struct PanelSums {
  V centre[2], sum[2], squares[2];

  [[gnu::always_inline]] void load(const Bf16Sums& from) {
    for (int v = 0; v < 2; ++v) {
      centre[v] = _mm512_loadu_ps(from.centre + 16 * v);
      sum[v] = _mm512_loadu_ps(from.sum + 16 * v);
      squares[v] = _mm512_loadu_ps(from.squares + 16 * v);
    }
  }
  [[gnu::always_inline]] void add_pixel(__m512i both, __mmask16 inside) {
    const V off[2] = {_mm512_maskz_sub_ps(inside, even(both), centre[0]),
                      _mm512_maskz_sub_ps(inside, odd(both), centre[1])};
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      sum[v] = add(sum[v], off[v]);
      squares[v] = _mm512_fmadd_ps(off[v], off[v], squares[v]);
    }
  }
  [[gnu::always_inline]] void store(Bf16Sums& to) const {
    for (int v = 0; v < 2; ++v) {
      _mm512_storeu_ps(to.sum + 16 * v, sum[v]);
      _mm512_storeu_ps(to.squares + 16 * v, squares[v]);
    }
  }
};

template <bool nontemporal, bool summing, bool listed>
void output(const float* planes, const Epilogue& epilogue, const Bf16Out& y, std::int64_t channels,
            Bf16Sums* sums) {
  alignas(64) V buffer[2][24];
  f32_rows<OutputMatrix>(planes, bf16_block, buffer[0]);
  f32_rows<OutputMatrix>(planes + 16, bf16_block, buffer[1]);
  const V scale[2] = {_mm512_loadu_ps(epilogue.scale), _mm512_loadu_ps(epilogue.scale + 16)};
  const V shift[2] = {_mm512_loadu_ps(epilogue.shift), _mm512_loadu_ps(epilogue.shift + 16)};
  const V floor = _mm512_set1_ps(epilogue.floor);
  const __mmask32 mask = first(channels);
  PanelSums of_panel;
  if constexpr (summing) of_panel.load(*sums);
#pragma GCC unroll 1
  for (int j = 0; j < 4; ++j) {
    V value[2][4];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      column<OutputMatrix>(buffer[v], j, value[v]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)  // in this order NaN stays NaN
        value[v][i] = _mm512_max_ps(floor, _mm512_fmadd_ps(scale[v], value[v][i], shift[v]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512i both = halves(value[0][i], value[1][i]);
      BFloat16* to = at<listed, 4>(y, i, j);
      if (nontemporal) {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to), both);
      } else {
        _mm512_mask_storeu_epi16(to, mask, both);
      }
      if constexpr (summing)
        of_panel.add_pixel(both, static_cast<__mmask16>(listed && to == sums->outside ? 0 : 0xffff));
    }
  }
  if constexpr (summing) of_panel.store(*sums);
}

}  // namespace

void winograd_bf16_input(const Bf16In& x, const Bf16Norm& norm, std::int64_t channels, std::int64_t ahead,
                         const Bf16Planes& planes) {
  (norm.factors ? transform<InputMatrix, true> : transform<InputMatrix, false>)(x, norm, channels, ahead,
                                                                                planes);
}
void winograd_bf16_input_pair(const Bf16In (&x)[2], const Bf16Norm& norm, std::int64_t channels,
                              std::int64_t ahead, const Bf16Planes& planes) {
  (norm.factors ? transform_pair<InputMatrix, true> : transform_pair<InputMatrix, false>)(x, norm, channels,
                                                                                          ahead, planes);
}
void winograd_bf16_gradient_pair(const Bf16In (&dy)[2], std::int64_t channels, std::int64_t ahead,
                                 const Bf16Planes& planes) {
  transform_pair<OutputGradientMatrix>(dy, {}, channels, ahead, planes);
}
void winograd_bf16_filter(const BFloat16* const (&taps)[9], std::int64_t channels, const Bf16Planes& planes) {
  transform<FilterMatrix>({.each = taps}, {}, channels, 0, planes);
}
void winograd_bf16_filter_pair(const BFloat16* const (&taps)[2][9], std::int64_t channels,
                               const Bf16Planes& planes) {
  transform_pair<FilterMatrix>({{.each = taps[0]}, {.each = taps[1]}}, {}, channels, 0, planes);
}

void winograd_bf16_output(const float* planes, const Epilogue& epilogue, const Bf16Out& y,
                          std::int64_t channels, bool nontemporal, Bf16Sums* sums) {
  const auto whole = sums ? (nontemporal ? output<true, true, false> : output<false, true, false>)
                          : (nontemporal ? output<true, false, false> : output<false, false, false>);
  const auto border = sums ? output<false, true, true> : output<false, false, true>;
  (y.each ? border : whole)(planes, epilogue, y, channels, sums);
}

void winograd_bf16_filter_gradient(const float* planes, std::int64_t plane, float* taps, std::int64_t tap,
                                   std::int64_t channels) {
  alignas(64) V buffer[18];
  for (std::int64_t c = 0; c < channels; c += 16) {
    f32_rows<FilterGradientMatrix>(planes + c, plane, buffer);
#pragma GCC unroll 1
    for (int j = 0; j < 3; ++j) {
      V changed[3];
      column<FilterGradientMatrix>(buffer, j, changed);
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) _mm512_storeu_ps(taps + (i * 3 + j) * tap + c, changed[i]);
    }
  }
}

namespace {

void transpose(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  // r[4 i + k] holds columns k, k + 4, k + 8, k + 12 of rows 4 i ... 4 i + 3.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512i p = _mm512_shuffle_i32x4(r[k], r[4 + k], 0x88),
                  q = _mm512_shuffle_i32x4(r[8 + k], r[12 + k], 0x88);
    const __m512i u = _mm512_shuffle_i32x4(r[k], r[4 + k], 0xdd),
                  v = _mm512_shuffle_i32x4(r[8 + k], r[12 + k], 0xdd);
    r[k] = _mm512_shuffle_i32x4(p, q, 0x88);
    r[8 + k] = _mm512_shuffle_i32x4(p, q, 0xdd);
    r[4 + k] = _mm512_shuffle_i32x4(u, v, 0x88);
    r[12 + k] = _mm512_shuffle_i32x4(u, v, 0xdd);
  }
}

}  // namespace

void transpose_pairs(const BFloat16* x, std::int64_t x_row, BFloat16* y, std::int64_t y_row) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(x + i * x_row);
  transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(y + i * y_row, r[i]);
}

void transpose_rounded(const float* x, std::int64_t x_row, BFloat16* y, std::int64_t y_row, std::int64_t rows,
                       std::int64_t cols) {
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(x + i * x_row);
  transpose(r);
  const auto mask = static_cast<__mmask16>(first(cols) & 0xffff);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    if (i < rows)
      _mm256_mask_storeu_epi16(y + i * y_row, mask, (__m256i)_mm512_cvtneps_pbh(_mm512_castsi512_ps(r[i])));
  }
}
KARYON_BF16_END
#else
void winograd_bf16_input(const Bf16In&, const Bf16Norm&, std::int64_t, std::int64_t, const Bf16Planes&) {}
void winograd_bf16_input_pair(const Bf16In (&)[2], const Bf16Norm&, std::int64_t, std::int64_t,
                              const Bf16Planes&) {}
void winograd_bf16_gradient_pair(const Bf16In (&)[2], std::int64_t, std::int64_t, const Bf16Planes&) {}
void winograd_bf16_filter(const BFloat16* const (&)[9], std::int64_t, const Bf16Planes&) {}
void winograd_bf16_filter_pair(const BFloat16* const (&)[2][9], std::int64_t, const Bf16Planes&) {}
void winograd_bf16_output(const float*, const Epilogue&, const Bf16Out&, std::int64_t, bool, Bf16Sums*) {}
void winograd_bf16_filter_gradient(const float*, std::int64_t, float*, std::int64_t, std::int64_t) {}
void transpose_pairs(const BFloat16*, std::int64_t, BFloat16*, std::int64_t) {}
void transpose_rounded(const float*, std::int64_t, BFloat16*, std::int64_t, std::int64_t, std::int64_t) {}
#endif

}  // namespace karyon::cpu
