#pragma once
#include <karyon/core/tensor.h>

// Running totals along a dimension; the result has x's shape. f32, f64, or bf16, which is cast to f32 and gives
// f32; i64, u8 and bool give i64. Computed in f64 for f32. The one dimension of a scalar is 0 or -1.
namespace karyon {

/// y[i] = x[0] + ... + x[i] along `dim`. Differentiable in x. Throws Error for a dimension out of range.
Tensor cumsum(const Tensor& x, int dim);
/// y[i] = x[0] ... x[i] along `dim`. Differentiable in x, also at 0. Throws Error for a dimension out of range.
Tensor cumprod(const Tensor& x, int dim);

}  // namespace karyon
