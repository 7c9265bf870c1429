#pragma once

namespace karyon::bench {

/// f32 fused multiply-adds that num_threads() threads can do at once, in floating point operations per
/// second: independent accumulators in registers, the best of several runs. Measured on the first call.
double fma_peak();

/// The same for dot products of bf16; 0 where the processor has none or KARYON_SIMD forbids them.
double bf16_peak();

/// Bytes per second that num_threads() threads read and write together in copying 256 MiB: the best of
/// several runs. Measured on the first call.
double copy_peak();

}  // namespace karyon::bench
