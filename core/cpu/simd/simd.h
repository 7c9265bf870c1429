#pragma once
#include <cstdint>

namespace karyon::cpu {

/// Floats in a vector (16 at most) of the instruction set in use. That is the best one of the processor, or
/// at most the one that KARYON_SIMD names: avx512_bf16, avx512, avx2 or baseline. Call it before the first
/// kernel that is dispatched at run time. Throws Error if KARYON_SIMD is something else.
std::int64_t simd_lanes();

/// Whether KARYON_SIMD lets AVX-512's dot products of bf16 be used, where the processor has them.
bool simd_allows_bf16();

/// Outputs with at least this many elements use non-temporal stores. This holds for bf16, too: half as many
/// bytes, but still faster.
constexpr std::int64_t nontemporal_floats = std::int64_t{2} << 20;

}  // namespace karyon::cpu
