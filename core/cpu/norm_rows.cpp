#include <karyon/core/cpu/norm_rows.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/norm_rows.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <karyon/core/cpu/simd/at_least-inl.h>
#include <karyon/core/cpu/simd/values-inl.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool streaming, class S>
void affine_rows(const S* HWY_RESTRICT x, std::int64_t rows, std::int64_t lanes,
                 const float* HWY_RESTRICT scale, const float* HWY_RESTRICT shift, float floor,
                 S* HWY_RESTRICT y) {
  const auto n = static_cast<std::int64_t>(hn::Lanes(d));
  const V least = hn::Set(d, floor);
  for (std::int64_t r = 0; r < rows; ++r, x += lanes, y += lanes)
    for (std::int64_t k = 0; k < lanes; k += n) {
      const V value = hn::MulAdd(hn::LoadU(d, scale + k), get(x + k), hn::LoadU(d, shift + k));
      put<streaming>(at_least(least, value), y + k);
    }
  if constexpr (streaming) hwy::FlushStream();  // before another thread may read it
}

template <class S>
void affine_of(const S* x, std::int64_t rows, std::int64_t lanes, const float* scale, const float* shift,
               float floor, bool stream, S* y) {
  (stream ? affine_rows<true, S> : affine_rows<false, S>)(x, rows, lanes, scale, shift, floor, y);
}

// Calls f(i, offset of the row) for every row; i is the number of its accumulator in registers. Four
// accumulators hide the latency of an addition.
template <class F>
HWY_INLINE void sum_column(std::int64_t rows, std::int64_t lanes, F f) {
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) f(i, (r + i) * lanes);
  }
  for (; r < rows; ++r) f(0, r * lanes);
}

HWY_INLINE V total(const V* four) { return hn::Add(hn::Add(four[0], four[1]), hn::Add(four[2], four[3])); }

template <class S>
void sums_of(const S* x, std::int64_t rows, std::int64_t lanes, const float* centre, float* out) {
  const auto n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t k = 0; k < lanes; k += n) {
    V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    if (centre) {
      const V mid = hn::LoadU(d, centre + k);
      sum_column(rows, lanes, [&](int i, std::int64_t at) {
        const V off = hn::Sub(get(x + at + k), mid);
        sum[i] = hn::MulAdd(off, off, sum[i]);
      });
    } else {
      sum_column(rows, lanes, [&](int i, std::int64_t at) { sum[i] = hn::Add(sum[i], get(x + at + k)); });
    }
    hn::StoreU(total(sum), d, out + k);
  }
}

template <bool relu, class S>
void gradient_sum_rows(const S* HWY_RESTRICT dy, const S* HWY_RESTRICT x, std::int64_t rows,
                       std::int64_t lanes, const NormForward& f, float* HWY_RESTRICT sum_dy,
                       float* HWY_RESTRICT sum_dy_x) {
  const auto n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t k = 0; k < lanes; k += n) {
    const V mean = hn::LoadU(d, f.mean + k), scale = hn::LoadU(d, f.scale + k),
            shift = hn::LoadU(d, f.shift + k);
    V a[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    V b[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    sum_column(rows, lanes, [&](int i, std::int64_t at) {
      const V value = get(x + at + k);
      V g = get(dy + at + k);
      if constexpr (relu) g = hn::IfThenZeroElse(hn::Le(hn::MulAdd(scale, value, shift), hn::Zero(d)), g);
      a[i] = hn::Add(a[i], g);
      b[i] = hn::MulAdd(g, hn::Sub(value, mean), b[i]);
    });
    hn::StoreU(total(a), d, sum_dy + k);
    hn::StoreU(total(b), d, sum_dy_x + k);
  }
}

template <class S>
void gradient_sums_of(const S* dy, const S* x, std::int64_t rows, std::int64_t lanes, const NormForward& f,
                      float* sum_dy, float* sum_dy_x) {
  (f.relu ? gradient_sum_rows<true, S> : gradient_sum_rows<false, S>)(dy, x, rows, lanes, f, sum_dy,
                                                                      sum_dy_x);
}

template <bool relu, bool streaming, class S>
void gradient_rows(const S* HWY_RESTRICT dy, const S* HWY_RESTRICT x, std::int64_t rows, std::int64_t lanes,
                   const NormForward& f, const float* HWY_RESTRICT slope, const float* HWY_RESTRICT offset,
                   S* HWY_RESTRICT dx) {
  const auto n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t r = 0; r < rows; ++r, dy += lanes, x += lanes, dx += lanes)
    for (std::int64_t k = 0; k < lanes; k += n) {
      const V value = get(x + k), scale = hn::LoadU(d, f.scale + k);
      V g = get(dy + k);
      if constexpr (relu)
        g = hn::IfThenZeroElse(hn::Le(hn::MulAdd(scale, value, hn::LoadU(d, f.shift + k)), hn::Zero(d)), g);
      const V centred = hn::Sub(value, hn::LoadU(d, f.mean + k));
      put<streaming>(
          hn::MulAdd(scale, g, hn::MulAdd(hn::LoadU(d, slope + k), centred, hn::LoadU(d, offset + k))),
          dx + k);
    }
  if constexpr (streaming) hwy::FlushStream();
}

template <class S>
void gradient_of(const S* dy, const S* x, std::int64_t rows, std::int64_t lanes, const NormForward& f,
                 const float* slope, const float* offset, bool stream, S* dx) {
  const auto run = f.relu ? (stream ? gradient_rows<true, true, S> : gradient_rows<true, false, S>)
                          : (stream ? gradient_rows<false, true, S> : gradient_rows<false, false, S>);
  run(dy, x, rows, lanes, f, slope, offset, dx);
}

// Calls f.template operator()<S>() with the type of the elements.
template <class F>
void for_type(DType dtype, F f) {
  if (dtype == bf16) return f.template operator()<BFloat16>();
  f.template operator()<float>();
}
template <class S>
const S* as(const void* x) {
  return static_cast<const S*>(x);
}

void affine(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* scale,
            const float* shift, float floor, bool stream, void* y) {
  for_type(dtype, [&]<class S>() {
    affine_of(as<S>(x), rows, lanes, scale, shift, floor, stream, static_cast<S*>(y));
  });
}
void sums(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* centre,
          float* out) {
  for_type(dtype, [&]<class S>() { sums_of(as<S>(x), rows, lanes, centre, out); });
}
void gradient_sums(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
                   const NormForward& f, float* sum_dy, float* sum_dy_x) {
  for_type(dtype,
           [&]<class S>() { gradient_sums_of(as<S>(dy), as<S>(x), rows, lanes, f, sum_dy, sum_dy_x); });
}
void gradient(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
              const NormForward& f, const float* slope, const float* offset, bool stream, void* dx) {
  for_type(dtype, [&]<class S>() {
    gradient_of(as<S>(dy), as<S>(x), rows, lanes, f, slope, offset, stream, static_cast<S*>(dx));
  });
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(affine);
HWY_EXPORT(sums);
HWY_EXPORT(gradient_sums);
HWY_EXPORT(gradient);

}  // namespace

void norm_affine(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* scale,
                 const float* shift, float floor, bool stream, void* y) {
  HWY_DYNAMIC_DISPATCH(affine)(dtype, x, rows, lanes, scale, shift, floor, stream, y);
}
void norm_sums(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* centre,
               float* out) {
  HWY_DYNAMIC_DISPATCH(sums)(dtype, x, rows, lanes, centre, out);
}
void norm_gradient_sums(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
                        const NormForward& forward, float* sum_dy, float* sum_dy_x) {
  HWY_DYNAMIC_DISPATCH(gradient_sums)(dtype, dy, x, rows, lanes, forward, sum_dy, sum_dy_x);
}
void norm_gradient(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
                   const NormForward& forward, const float* slope, const float* offset, bool stream,
                   void* dx) {
  HWY_DYNAMIC_DISPATCH(gradient)(dtype, dy, x, rows, lanes, forward, slope, offset, stream, dx);
}

}  // namespace karyon::cpu
#endif
