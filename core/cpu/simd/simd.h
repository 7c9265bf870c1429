#pragma once
#include <cstdint>

namespace karyon::cpu {

/// Floats in a vector (16 at most) of the instruction set in use: the best that the processor has, or what
/// KARYON_SIMD=avx512_bf16, avx512, avx2 or baseline keeps to, for tests and comparison. Call it before the
/// first kernel that is dispatched at run time. Throws Error if KARYON_SIMD is something else.
std::int64_t simd_lanes();

/// Whether KARYON_SIMD lets AVX-512's dot products of bf16 be used, where the processor has them.
bool simd_allows_bf16();

/// Outputs with at least this many elements use non-temporal stores. In bf16, too, although they are half as
/// many bytes: it is still faster.
constexpr std::int64_t nontemporal_floats = std::int64_t{2} << 20;

}  // namespace karyon::cpu
