// Compiled once for each instruction set, so the guard switches with it.
#if defined(KARYON_FINISH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KARYON_FINISH_INL_H
#undef KARYON_FINISH_INL_H
#else
#define KARYON_FINISH_INL_H
#endif

#include <hwy/highway.h>
#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/simd/at_least-inl.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {

/// min(most, value) that keeps a NaN in `value`.
template <class V>
HWY_INLINE V at_most(V most, V value) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Min(most, value);
#else
  return hn::IfThenElse(hn::Lt(most, value), most, value);
#endif
}

/// The activation of vectors; NaN stays.
template <class Tag, class V>
HWY_INLINE V activated(Tag tag, const SimpleActivation& activation, V value) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (activation.hardswish) {
    const V gate = at_most(hn::Set(tag, 6), at_least(hn::Zero(tag), hn::Add(value, hn::Set(tag, 3))));
    return hn::Mul(value, hn::Mul(gate, hn::Set(tag, 1.0f / 6)));
  }
  return at_most(hn::Set(tag, activation.high), at_least(hn::Set(tag, activation.low), value));
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
