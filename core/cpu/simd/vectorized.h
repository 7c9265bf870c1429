#pragma once
#include <karyon/core/cpu/simd/simd.h>

// Plain loops, compiled for each instruction set and run with the best one that KARYON_SIMD allows: for
// formulas that the compiler vectorizes well by itself. Kernels that need more than that use Highway.
namespace karyon::cpu {

#if defined(__x86_64__) && defined(__GNUC__)
#define KARYON_TARGET(features) [[gnu::target(features), gnu::flatten, gnu::noinline]]
#if defined(__clang__)
#define KARYON_AVX512 [[clang::min_vector_width(512)]] KARYON_TARGET("avx512f,avx512bw,avx512dq,avx512vl,fma")
#else
#define KARYON_AVX512 KARYON_TARGET("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif

template <class F>
KARYON_AVX512 void run_avx512(F loop) {
  loop();
}
template <class F>
KARYON_TARGET("avx2,fma")
void run_avx2(F loop) {
  loop();
}
#undef KARYON_AVX512
#undef KARYON_TARGET

/// loop(), with everything it calls inlined. What it captures should be captured by value: the compiler then
/// knows that the loop's stores do not change it.
template <class F>
void vectorized(F loop) {
  const std::int64_t lanes = simd_lanes();
  if (lanes == 16) return run_avx512(loop);
  if (lanes == 8) return run_avx2(loop);
  loop();
}
#else
template <class F>
void vectorized(F loop) {
  loop();
}
#endif

}  // namespace karyon::cpu
