#pragma once
#include <karyon/core/tensor.h>

// Functions of x element by element; any shape, f32 or f64, returns x's shape and dtype. bf16 is cast to f32
// and gives f32. Differentiable in x. exp, log, sqrt, pow and reciprocal are in elementwise.h.
namespace karyon {

/// Sine, cosine and tangent of x in radians, exact to a few units in the last place for any x; NaN at
/// infinity.
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tan(const Tensor& x);
/// NaN outside [-1, 1]; the gradient on the limits is infinite.
Tensor asin(const Tensor& x);
Tensor acos(const Tensor& x);
Tensor atan(const Tensor& x);
Tensor sinh(const Tensor& x);
Tensor cosh(const Tensor& x);

/// log(1 + x) and exp(x) - 1, with all digits near 0.
Tensor log1p(const Tensor& x);
Tensor expm1(const Tensor& x);
Tensor log2(const Tensor& x);
Tensor log10(const Tensor& x);
/// 2 to the power x.
Tensor exp2(const Tensor& x);
/// 1 / sqrt(x).
Tensor rsqrt(const Tensor& x);
/// The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.
Tensor erf(const Tensor& x);

}  // namespace karyon
