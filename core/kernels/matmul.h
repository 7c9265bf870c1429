#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// y [..., M, N] = op(a) op(b), or y += op(a) op(b) if `accumulate`; op transposes the last two dimensions if
/// asked to. The leading dimensions of a and b broadcast to y's. f32, f64; bf16, summed in f32.
extern Kernel<void(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                   Tensor& y)>
    matmul;

}  // namespace karyon::kernels
