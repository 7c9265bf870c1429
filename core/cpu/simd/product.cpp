// The sums of a tile of up to 6 rows and 2 vectors of c stay in registers over the whole depth. Each step
// loads two vectors of b and multiplies them by one broadcast element of a per row.
#include <algorithm>

#include <karyon/core/cpu/simd/product.h>
#include <karyon/core/cpu/simd/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/simd/product.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int max_rows = 6;
// Where masked loads and stores leave what lies beyond alone.
constexpr bool masks = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3;

template <class T>
using Tag = hn::CappedTag<T, 64 / sizeof(T)>;

// The first n elements of a vector; the others are 0 and stay as they are in memory.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_part(D d, const T* from, std::int64_t n) {
  if constexpr (masks) {
    return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(n)), d, from);
  } else {
    HWY_ALIGN T whole[64 / sizeof(T)] = {};
    std::copy(from, from + n, whole);
    return hn::Load(d, whole);
  }
}
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_part(hn::Vec<D> value, D d, T* to, std::int64_t n) {
  if constexpr (masks) {
    hn::BlendedStore(value, hn::FirstN(d, static_cast<std::size_t>(n)), d, to);
  } else {
    HWY_ALIGN T whole[64 / sizeof(T)];
    hn::Store(value, d, whole);
    std::copy(whole, whole + n, to);
  }
}

// `rows` rows and `vectors` vectors, of which the last has `in_last` columns; `whole`: it is full.
template <int rows, int vectors, bool whole, class T>
void multiply_tile(const Product<T>& t, std::int64_t in_last) {
  constexpr Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d)), last = (vectors - 1) * lanes;
  const auto load_last = [=](const T* from) {
    if constexpr (whole) return hn::LoadU(d, from + last);
    return load_part(d, from + last, in_last);
  };
  V acc[rows][vectors];
#pragma GCC unroll 6
  for (int r = 0; r < rows; ++r) {
    if constexpr (vectors == 2) acc[r][0] = t.add ? hn::LoadU(d, t.c + r * t.c_row) : hn::Zero(d);
    acc[r][vectors - 1] = t.add ? load_last(t.c + r * t.c_row) : hn::Zero(d);
  }
  const T* b = t.b;
  const T* a = t.a.data;
  for (std::int64_t k = 0; k < t.depth; ++k, b += t.b_row, a += t.a.column) {
    V row[vectors];
    if constexpr (vectors == 2) row[0] = hn::LoadU(d, b);
    row[vectors - 1] = load_last(b);
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
      const V value = hn::Set(d, a[r * t.a.row]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) acc[r][v] = hn::MulAdd(value, row[v], acc[r][v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < rows; ++r) {
    T* to = t.c + r * t.c_row;
    if constexpr (vectors == 2) hn::StoreU(acc[r][0], d, to);
    if constexpr (whole) {
      hn::StoreU(acc[r][vectors - 1], d, to + last);
    } else {
      store_part(acc[r][vectors - 1], d, to + last, in_last);
    }
  }
}

template <int rows, class T>
void multiply_columns(Product<T> t) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Tag<T>()));
  std::int64_t n = t.n;
  for (; n >= 2 * lanes; n -= 2 * lanes, t.b += 2 * lanes, t.c += 2 * lanes)
    multiply_tile<rows, 2, true>(t, lanes);
  if (n > lanes) {
    multiply_tile<rows, 2, false>(t, n - lanes);
  } else if (n == lanes) {
    multiply_tile<rows, 1, true>(t, lanes);
  } else if (n > 0) {
    multiply_tile<rows, 1, false>(t, n);
  }
}

template <class T>
void multiply_rows(Product<T> t) {
  using Columns = void (*)(Product<T>);
  constexpr Columns of_rows[] = {multiply_columns<1, T>, multiply_columns<2, T>, multiply_columns<3, T>,
                                 multiply_columns<4, T>, multiply_columns<5, T>, multiply_columns<6, T>};
  while (t.m > 0) {
    const std::int64_t rows = std::min<std::int64_t>(t.m, max_rows);
    of_rows[rows - 1](t);
    t.m -= rows;
    t.a.data += rows * t.a.row;
    t.c += rows * t.c_row;
  }
}

void multiply_f32(const Product<float>& product) { multiply_rows(product); }
void multiply_f64(const Product<double>& product) { multiply_rows(product); }

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(multiply_f32);
HWY_EXPORT(multiply_f64);

}  // namespace

void multiply(const Product<float>& product) {
  simd_lanes();  // the choice of instruction sets
  HWY_DYNAMIC_DISPATCH(multiply_f32)(product);
}
void multiply(const Product<double>& product) {
  simd_lanes();
  HWY_DYNAMIC_DISPATCH(multiply_f64)(product);
}

}  // namespace karyon::cpu
#endif
