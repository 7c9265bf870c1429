#pragma once
#include <karyon/core/ops/reduce.h>

// Running totals along a dimension; results have x's shape. The one dimension of a scalar is 0 or -1. Sums
// and products take f32, f64, or bf16, which is cast to f32 and gives f32; i64, u8 and bool give i64. They
// are computed in f64 for f32.
namespace karyon {

/// y[i] = x[0] + ... + x[i] along `dim`. Differentiable in x. Throws Error for a dimension out of range.
Tensor cumsum(const Tensor& x, int dim);
/// y[i] = x[0] ... x[i] along `dim`. Differentiable in x, also at 0. Throws Error for a dimension out of
/// range.
Tensor cumprod(const Tensor& x, int dim);

/// The largest, the smallest of x[0] to x[i] along `dim`, and where it lies: of equals the last. NaN wins.
/// Any dtype, which the values keep. Values are differentiable where it is floating. Throws Error for a
/// dimension out of range.
ValuesAndIndices cummax(const Tensor& x, int dim);
ValuesAndIndices cummin(const Tensor& x, int dim);

}  // namespace karyon
