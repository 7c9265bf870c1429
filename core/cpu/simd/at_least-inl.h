// Compiled once for each instruction set, so the guard switches with it.
#if defined(KARYON_AT_LEAST_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KARYON_AT_LEAST_INL_H
#undef KARYON_AT_LEAST_INL_H
#else
#define KARYON_AT_LEAST_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {

/// max(least, value) that keeps a NaN in `value`. On x86 the instruction returns its second operand beside
/// NaN; without it Max drops NaN.
template <class V>
HWY_INLINE V at_least(V least, V value) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Max(least, value);
#else
  return hn::IfThenElse(hn::Lt(value, least), least, value);
#endif
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
