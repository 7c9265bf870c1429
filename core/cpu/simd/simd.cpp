#include <karyon/core/cpu/simd/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/simd/simd.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {
std::int64_t lanes() {
  return static_cast<std::int64_t>(hwy::HWY_NAMESPACE::Lanes(hwy::HWY_NAMESPACE::CappedTag<float, 16>()));
}
}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cstdlib>
#include <string_view>

#include <karyon/core/check.h>

namespace karyon::cpu {
namespace {

HWY_EXPORT(lanes);

std::string_view limit() {
  const char* text = std::getenv("KARYON_SIMD");
  const std::string_view limit = text ? text : "avx512_bf16";
  check(limit == "avx512_bf16" || limit == "avx512" || limit == "avx2" || limit == "baseline",
        "KARYON_SIMD: expects avx512_bf16, avx512, avx2 or baseline, got '", limit, "'");
  return limit;
}

void apply(std::string_view limit) {
  if (!limit.starts_with("avx512"))
    hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL | (limit == "baseline" ? HWY_AVX2 : 0));
}

}  // namespace

std::int64_t simd_lanes() {
  static const std::int64_t value = [] {
    apply(limit());
    return HWY_DYNAMIC_DISPATCH(lanes)();
  }();
  return value;
}

bool simd_allows_bf16() { return limit() == "avx512_bf16"; }

}  // namespace karyon::cpu
#endif
