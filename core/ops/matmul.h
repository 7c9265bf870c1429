#pragma once
#include <karyon/core/kernel.h>

namespace karyon {

/// Matrix product.
///   a        [..., M, K]
///   b        [..., K, N]; the leading dimensions broadcast
///   returns  [..., M, N]
/// f32 or f64. Differentiable in a and b. Throws Error if K disagrees or a side has fewer than two
/// dimensions.
Tensor matmul(const Tensor& a, const Tensor& b);

/// x weight^T + bias, as torch.nn.functional.linear.
///   x        [..., in]
///   weight   [out, in]
///   bias     [out] or undefined
///   returns  [..., out]
/// Differentiable in x, weight and bias.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace karyon
