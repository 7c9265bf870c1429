// Compiled once for each instruction set, so the guard switches with it.
#if defined(KARYON_VALUES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KARYON_VALUES_INL_H
#undef KARYON_VALUES_INL_H
#else
#define KARYON_VALUES_INL_H
#endif

#include <cstdint>

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <karyon/core/dtype.h>

// Vectors of f32 that are kept as f32 or as bf16.
HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr D d;

constexpr hn::RebindToUnsigned<D> d_bits;
constexpr hn::Rebind<std::uint16_t, D> d_half;  // a bf16 is the upper half of a float

/// Values of f32, or of bf16 as f32.
HWY_INLINE V get(const float* from) { return hn::LoadU(d, from); }
HWY_INLINE V get(const BFloat16* from) {
  const auto half = hn::LoadU(d_half, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d_bits, half)));
}

/// Stores values, rounded to bf16 as BFloat16's constructor does. `streaming`: by non-temporal stores, which
/// are aligned to a vector.
template <bool streaming>
HWY_INLINE void put(V value, float* to) {
  if constexpr (streaming) {
    hn::Stream(value, d, to);
  } else {
    hn::StoreU(value, d, to);
  }
}
template <bool streaming>
HWY_INLINE void put(V value, BFloat16* to) {
  const auto bits = hn::BitCast(d_bits, value), upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(d_bits, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d_bits, 0x7fff))));
  const auto nan = hn::RebindMask(d_bits, hn::IsNaN(value));
  const auto half =
      hn::TruncateTo(d_half, hn::IfThenElse(nan, hn::Or(upper, hn::Set(d_bits, 0x40)), rounded));
  auto* out = reinterpret_cast<std::uint16_t*>(to);
  if constexpr (streaming) {
    hn::Stream(half, d_half, out);
  } else {
    hn::StoreU(half, d_half, out);
  }
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
