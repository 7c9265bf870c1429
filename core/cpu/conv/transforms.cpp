// The transforms apply small constant matrices to the rows and columns of a tile, a vector of channels at a
// time. Each matrix is written out to share its sums.
#include <karyon/core/cpu/conv/transforms.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/conv/transforms.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <karyon/core/cpu/simd/at_least-inl.h>
#include <karyon/core/cpu/simd/values-inl.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {

HWY_INLINE V times(float a, V x) { return hn::Mul(hn::Set(d, a), x); }
HWY_INLINE V plus(float a, V x, V y) { return hn::MulAdd(hn::Set(d, a), x, y); }      // a x + y
HWY_INLINE V minus(float a, V x, V y) { return hn::NegMulAdd(hn::Set(d, a), x, y); }  // y - a x

// Each matrix M as out = M in, in one dimension. `step` pixels of each row are new in the next tile: they are
// prefetched. `last`: the epilogue follows.
template <int m>
struct InputMatrix;  // B^T
template <int m>
struct OutputMatrix;  // A^T
template <int m>
struct FilterMatrix;  // G
template <int m>
struct OutputGradientMatrix;  // A
template <int m>
struct FilterGradientMatrix;  // G^T

template <>
struct InputMatrix<2> {
  static constexpr int in = 4, out = 4, step = 2;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    o[0] = hn::Sub(x[0], x[2]);
    o[1] = hn::Add(x[1], x[2]);
    o[2] = hn::Sub(x[2], x[1]);
    o[3] = hn::Sub(x[1], x[3]);
  }
};
template <>
struct OutputMatrix<2> {
  static constexpr int in = 4, out = 2, step = 0;
  static constexpr bool last = true;
  HWY_INLINE static void apply(const V* x, V* o) {
    o[0] = hn::Add(x[0], hn::Add(x[1], x[2]));
    o[1] = hn::Sub(hn::Sub(x[1], x[2]), x[3]);
  }
};
template <>
struct FilterMatrix<2> {
  static constexpr int in = 3, out = 4, step = 0;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V ends = hn::Add(x[0], x[2]);
    o[0] = x[0];
    o[1] = times(0.5f, hn::Add(ends, x[1]));
    o[2] = times(0.5f, hn::Sub(ends, x[1]));
    o[3] = x[2];
  }
};
template <>
struct OutputGradientMatrix<2> {
  static constexpr int in = 2, out = 4, step = 2;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    o[0] = x[0];
    o[1] = hn::Add(x[0], x[1]);
    o[2] = hn::Sub(x[0], x[1]);
    o[3] = hn::Neg(x[1]);
  }
};
template <>
struct FilterGradientMatrix<2> {
  static constexpr int in = 4, out = 3, step = 0;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V sum = times(0.5f, hn::Add(x[1], x[2]));
    o[0] = hn::Add(x[0], sum);
    o[1] = times(0.5f, hn::Sub(x[1], x[2]));
    o[2] = hn::Add(sum, x[3]);
  }
};

template <>
struct InputMatrix<4> {
  static constexpr int in = 6, out = 6, step = 4;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V a = minus(4, x[2], x[4]), b = minus(4, x[1], x[3]);
    const V c = hn::Sub(x[4], x[2]), e = times(2, hn::Sub(x[3], x[1]));
    o[0] = plus(4, x[0], minus(5, x[2], x[4]));
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(c, e);
    o[4] = hn::Sub(c, e);
    o[5] = plus(4, x[1], minus(5, x[3], x[5]));
  }
};
template <>
struct OutputMatrix<4> {
  static constexpr int in = 6, out = 4, step = 0;
  static constexpr bool last = true;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V s1 = hn::Add(x[1], x[2]), d1 = hn::Sub(x[1], x[2]);
    const V s2 = hn::Add(x[3], x[4]), d2 = hn::Sub(x[3], x[4]);
    o[0] = hn::Add(hn::Add(x[0], s1), s2);
    o[1] = plus(2, d2, d1);
    o[2] = plus(4, s2, s1);
    o[3] = hn::Add(plus(8, d2, d1), x[5]);
  }
};
template <>
struct FilterMatrix<4> {
  static constexpr int in = 3, out = 6, step = 0;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V ends = times(-1 / 6.0f, hn::Add(x[0], x[2])), middle = times(1 / 6.0f, x[1]);
    const V near = plus(1 / 24.0f, x[0], times(1 / 6.0f, x[2])), half = times(1 / 12.0f, x[1]);
    o[0] = times(0.25f, x[0]);
    o[1] = hn::Sub(ends, middle);
    o[2] = hn::Add(ends, middle);
    o[3] = hn::Add(near, half);
    o[4] = hn::Sub(near, half);
    o[5] = x[2];
  }
};
template <>
struct OutputGradientMatrix<4> {
  static constexpr int in = 4, out = 6, step = 4;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V a = hn::Add(x[0], x[2]), b = hn::Add(x[1], x[3]);
    const V c = plus(4, x[2], x[0]), e = plus(8, x[3], times(2, x[1]));
    o[0] = x[0];
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(c, e);
    o[4] = hn::Sub(c, e);
    o[5] = x[3];
  }
};
template <>
struct FilterGradientMatrix<4> {
  static constexpr int in = 6, out = 3, step = 0;
  static constexpr bool last = false;
  HWY_INLINE static void apply(const V* x, V* o) {
    const V s1 = times(-1 / 6.0f, hn::Add(x[1], x[2])), d1 = times(1 / 6.0f, hn::Sub(x[2], x[1]));
    const V s2 = hn::Add(x[3], x[4]), d2 = hn::Sub(x[3], x[4]);
    o[0] = plus(1 / 24.0f, s2, plus(0.25f, x[0], s1));
    o[1] = plus(1 / 12.0f, d2, d1);
    o[2] = plus(1 / 6.0f, s2, hn::Add(s1, x[5]));
  }
};

// The rows of in M^T, into a buffer. An affine transform reads max(scale x + shift, floor).
template <class M, bool affine>
HWY_INLINE void transform_rows(const float* HWY_RESTRICT row, Grid in, V scale, V shift, V floor,
                               float* HWY_RESTRICT buffer) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
#pragma GCC unroll 1
  for (int i = 0; i < M::in; ++i, row += in.row) {
    V x[M::in], changed[M::out];
#pragma GCC unroll 6
    for (int j = 0; j < M::in; ++j) {
      x[j] = hn::LoadU(d, row + j * in.pixel);
      if constexpr (affine) x[j] = at_least(floor, hn::MulAdd(scale, x[j], shift));
    }
    if constexpr (M::step > 0) {
#pragma GCC unroll 4
      for (int j = 0; j < M::step; ++j) hwy::Prefetch(row + (M::in + M::step + j) * in.pixel);
    }
    M::apply(x, changed);
#pragma GCC unroll 6
    for (int j = 0; j < M::out; ++j) hn::Store(changed[j], d, buffer + (i * M::out + j) * lanes);
  }
}

// out = M in M^T for every channel: rows into a buffer that stays in L1, then columns. The outer loops are
// not unrolled: 36 vectors do not fit in registers, and spilling them costs more than the buffer. `epilogue`
// is of the outputs or, if `affine`, of the input.
template <class M, bool nontemporal = false, bool affine = false, bool summing = false>
void transform(const float* HWY_RESTRICT from, Grid in, float* HWY_RESTRICT to, Grid out,
               std::int64_t channels, const Epilogue* epilogue = nullptr, const TileSums* sums = nullptr) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN float buffer[M::in * M::out * 16];
  for (std::int64_t c = 0; c < channels; c += lanes) {
    V scale = hn::Zero(d), shift = scale, floor = scale;
    if constexpr (M::last || affine) {
      scale = hn::LoadU(d, epilogue->scale + c);
      shift = hn::LoadU(d, epilogue->shift + c);
      floor = hn::Set(d, epilogue->floor);
    }
    transform_rows<M, affine>(from + c, in, scale, shift, floor, buffer);
    V centre, sum = hn::Zero(d), squares = hn::Zero(d);
    if constexpr (summing) centre = hn::LoadU(d, sums->centre + c);
    float* column = to + c;
#pragma GCC unroll 1
    for (int j = 0; j < M::out; ++j, column += out.pixel) {
      V x[M::in], changed[M::out];
#pragma GCC unroll 6
      for (int i = 0; i < M::in; ++i) x[i] = hn::Load(d, buffer + (i * M::out + j) * lanes);
      M::apply(x, changed);
#pragma GCC unroll 6
      for (int i = 0; i < M::out; ++i) {
        V value = changed[i];
        if constexpr (M::last) value = at_least(floor, hn::MulAdd(scale, value, shift));
        if constexpr (summing) {
          const V off = hn::Sub(value, centre);
          sum = hn::Add(sum, off);
          squares = hn::MulAdd(off, off, squares);
        }
        if constexpr (nontemporal) {
          hn::Stream(value, d, column + i * out.row);
        } else {
          hn::StoreU(value, d, column + i * out.row);
        }
      }
    }
    if constexpr (summing) {
      hn::StoreU(hn::Add(hn::LoadU(d, sums->sum + c), sum), d, sums->sum + c);
      hn::StoreU(hn::Add(hn::LoadU(d, sums->squares + c), squares), d, sums->squares + c);
    }
  }
}

template <template <int> class M>
void transform_any(std::int64_t m, const float* from, Grid in, float* to, Grid out, std::int64_t channels,
                   const Epilogue* epilogue = nullptr) {
  m == 2 ? transform<M<2>>(from, in, to, out, channels, epilogue)
         : transform<M<4>>(from, in, to, out, channels, epilogue);
}

void input(std::int64_t m, const float* from, Grid in, const float* scale, const float* shift, float* to,
           Grid out, std::int64_t channels) {
  if (!scale) return transform_any<InputMatrix>(m, from, in, to, out, channels);
  const Epilogue affine{scale, shift, 0};
  m == 2 ? transform<InputMatrix<2>, false, true>(from, in, to, out, channels, &affine)
         : transform<InputMatrix<4>, false, true>(from, in, to, out, channels, &affine);
}
void output(std::int64_t m, const float* from, Grid in, const Epilogue& epilogue, float* to, Grid out,
            std::int64_t channels, bool nontemporal, const TileSums* sums) {
  if (sums) {
    const auto run = m == 2        ? transform<OutputMatrix<2>, false, false, true>
                     : nontemporal ? transform<OutputMatrix<4>, true, false, true>
                                   : transform<OutputMatrix<4>, false, false, true>;
    return run(from, in, to, out, channels, &epilogue, sums);
  }
  if (nontemporal && m == 4) return transform<OutputMatrix<4>, true>(from, in, to, out, channels, &epilogue);
  transform_any<OutputMatrix>(m, from, in, to, out, channels, &epilogue);
}
void filter(std::int64_t m, const float* from, Grid in, float* to, Grid out, std::int64_t channels) {
  transform_any<FilterMatrix>(m, from, in, to, out, channels);
}
void output_gradient(std::int64_t m, const float* from, Grid in, float* to, Grid out, std::int64_t channels) {
  transform_any<OutputGradientMatrix>(m, from, in, to, out, channels);
}
void filter_gradient(std::int64_t m, const float* from, Grid in, float* to, Grid out, std::int64_t channels) {
  transform_any<FilterGradientMatrix>(m, from, in, to, out, channels);
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(input);
HWY_EXPORT(output);
HWY_EXPORT(filter);
HWY_EXPORT(output_gradient);
HWY_EXPORT(filter_gradient);

Grid planes_of(std::int64_t m, std::int64_t plane) { return {(m + 2) * plane, plane}; }

}  // namespace

void winograd_input(std::int64_t m, const float* x, Grid at, const float* scale, const float* shift,
                    float* planes, std::int64_t plane, std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(input)(m, x, at, scale, shift, planes, planes_of(m, plane), channels);
}
void winograd_output(std::int64_t m, const float* planes, std::int64_t plane, const Epilogue& epilogue,
                     float* y, Grid at, std::int64_t channels, bool nontemporal, const TileSums* sums) {
  HWY_DYNAMIC_DISPATCH(output)(m, planes, planes_of(m, plane), epilogue, y, at, channels, nontemporal, sums);
}
void winograd_filter(std::int64_t m, const float* taps, Grid at, float* planes, std::int64_t plane,
                     std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(filter)(m, taps, at, planes, planes_of(m, plane), channels);
}
void winograd_output_gradient(std::int64_t m, const float* dy, Grid at, float* planes, std::int64_t plane,
                              std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(output_gradient)(m, dy, at, planes, planes_of(m, plane), channels);
}
void winograd_filter_gradient(std::int64_t m, const float* planes, std::int64_t plane, float* taps, Grid at,
                              std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(filter_gradient)(m, planes, planes_of(m, plane), taps, at, channels);
}

}  // namespace karyon::cpu
#endif
