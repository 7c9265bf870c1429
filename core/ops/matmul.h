#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

/// Matrix product.
///   a        [..., M, K], or a vector [K], which counts as one row
///   b        [..., K, N], or a vector [K], which counts as one column; the leading dimensions broadcast
///   returns  [..., M, N], without the dimension that a vector lacks
/// One dtype: f32, f64, or bf16 (sums in f32); see autocast.h. Differentiable in a and b. Throws Error if K
/// or the dtypes disagree, or a side is a scalar.
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
