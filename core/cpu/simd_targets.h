// Which instruction sets the SIMD kernels are compiled for; included before <hwy/foreach_target.h>.
// What is left: baseline, AVX2, AVX-512 (the dot-product extensions of later levels add nothing for f32).
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
