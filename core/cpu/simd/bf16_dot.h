#pragma once
// Private to core/cpu: for files that hold code for AVX512_BF16, which they call only if has_bf16_dot(). They
// include this file last and put their code between KARYON_BF16_BEGIN and KARYON_BF16_END. Code shared with
// other files is thus never compiled for that instruction set.
#if defined(__x86_64__) && defined(__GNUC__)
#define KARYON_BF16_DOT 1
#if defined(__clang__)
#include <immintrin.h>
// A pragma is one literal.
// clang-format off
#define KARYON_BF16_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma\"))), apply_to = function)")
// clang-format on
#define KARYON_BF16_END _Pragma("clang attribute pop")
#else
// GCC 12 takes its own undefined vectors for uninitialized ones.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#define KARYON_BF16_BEGIN \
  _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma\")")
#define KARYON_BF16_END _Pragma("GCC pop_options")
#endif
#else
#define KARYON_BF16_DOT 0
#endif
