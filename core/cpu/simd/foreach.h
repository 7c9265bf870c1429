// Compiles the file named by HWY_TARGET_INCLUDE once for each instruction set. Include it in place of
// <hwy/foreach_target.h>, before <hwy/highway.h>. It has no #pragma once, because each pass includes it
// again.
//
// Karyon keeps three of Highway's targets: baseline, AVX2, AVX-512. The dot-product extensions of later
// levels add nothing for f32.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#endif
#include <hwy/foreach_target.h>
