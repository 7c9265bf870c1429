#pragma once
#include <karyon/core/kernel.h>

namespace karyon {

/// Matrix product.
///   a        [..., M, K]
///   b        [..., K, N]; the leading dimensions broadcast
///   returns  [..., M, N]
/// One dtype: f32, f64, or bf16 (sums in f32); see autocast.h. Differentiable in a and b. Throws Error if K
/// or the dtypes disagree, or a side has fewer than two dimensions.
Tensor matmul(const Tensor& a, const Tensor& b);

/// x weight^T + bias, as torch.nn.functional.linear.
///   x        [..., in]
///   weight   [out, in]
///   bias     [out] or undefined
///   returns  [..., out]
/// x and weight f32, f64 or bf16, bias the same or, beside bf16, f32: added to the f32 sums; see autocast.h.
/// Differentiable in x, weight and bias. Throws Error if the sizes or dtypes disagree.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace karyon

namespace karyon::kernels {

/// y [..., M, N] = op(a) op(b), or y += op(a) op(b) if `accumulate`; op transposes the last two dimensions
/// where asked. The leading dimensions of a and b broadcast to y's. f32, f64; bf16 without `accumulate`,
/// summed in f32.
extern Kernel<void(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                   Tensor& y)>
    matmul;

}  // namespace karyon::kernels
