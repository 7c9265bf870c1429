// Compiles the file named by HWY_TARGET_INCLUDE once for each instruction set: in place of
// <hwy/foreach_target.h>, and before <hwy/highway.h>. No #pragma once: each pass comes through here.
//
// What is left of Highway's targets: baseline, AVX2, AVX-512 (the dot-product extensions of later levels add
// nothing for f32).
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
#include <hwy/foreach_target.h>
