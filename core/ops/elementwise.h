#pragma once
#include <karyon/core/tensor.h>

// Elementwise operations with broadcasting: shapes are aligned at the right, sizes equal or 1. What takes bf16
// takes f16, too, and what takes i64 takes i32; core/autocast.h tells how types mix.
namespace karyon {

///   a, b     any shapes that broadcast; same dtype (f32, f64 or bf16; add, sub, mul also i64), or two
///            of f32, bf16 and f16, or i32 and i64
///   returns  the broadcast shape; the wider of two types, but f32 for bf16 beside f16, and for pow of bf16
/// Differentiable in a and b. Throws Error if shapes do not broadcast or dtypes differ.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
/// a to the power b. The gradient in b is a^b log a, and 0 where a is 0 and b is not negative.
Tensor pow(const Tensor& a, const Tensor& b);
/// The larger / the smaller of each pair; NaN wins. A tie shares the gradient evenly; beside NaN both get all
/// of it.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

/// The same with a number on the right (or left) side. Shape and dtype of x: added to or multiplied with i64,
/// the number must be whole. pow of bf16 is f32. The gradient of pow(x, 0) is 0 everywhere.
Tensor add(const Tensor& x, double value);
Tensor mul(const Tensor& x, double value);
Tensor pow(const Tensor& x, double exponent);

/// x element by element; any shape, f32, f64 or bf16; returns x's shape and dtype, but f32 for pow, exp, log
/// and sqrt of bf16. Differentiable in x.
Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
/// The gradient at 0 and at NaN is 0.
Tensor abs(const Tensor& x);
/// x limited to [low, high]; NaN stays. The gradient is 1 inside and on the limits, 0 outside and at NaN.
/// Throws Error unless low <= high.
Tensor clamp(const Tensor& x, double low, double high);

/// x^2; bf16 stays. 1 / x; f32 for bf16.
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);
/// The nearest whole number below, above, next (halves go to the even one) and towards 0; infinities and NaN
/// stay. The gradient is 0.
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);
Tensor trunc(const Tensor& x);
/// -1, 0 or 1; 0 for NaN. The gradient is 0.
Tensor sign(const Tensor& x);

/// What is left of a after whole multiples of b. remainder has b's sign: a - b floor(a / b). fmod has a's:
/// a - b trunc(a / b). NaN where b is 0.
///   a, b     any shapes that broadcast; same dtype (f32, f64 or bf16), or bf16 and f32
///   returns  the broadcast shape; f32 for bf16 and f32
/// Differentiable in a and b. Throws Error if shapes do not broadcast or dtypes differ.
Tensor remainder(const Tensor& a, const Tensor& b);
Tensor fmod(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& x, double divisor);
Tensor fmod(const Tensor& x, double divisor);
/// The angle in radians, from -pi to pi, of the point with ordinate a and abscissa b. As remainder, but f32
/// for bf16. The gradient at (0, 0) is 0.
Tensor atan2(const Tensor& a, const Tensor& b);
/// start + weight (end - start). All broadcast, with one dtype (f32, f64 or bf16), or bf16 and f32, which
/// gives f32. Differentiable in all tensors.
Tensor lerp(const Tensor& start, const Tensor& end, const Tensor& weight);
Tensor lerp(const Tensor& start, const Tensor& end, double weight);

/// a where the condition holds, b elsewhere.
///   condition  bool; a, b: same dtype (any), or bf16 and f32, which gives f32; all three broadcast
/// Differentiable in a and b.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

/// Comparisons: a and b broadcast, same dtype (any) or bf16 and f32; returns bool. Not differentiable.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
/// The same against a number: rounded to x's dtype if that is floating, else exact.
Tensor eq(const Tensor& x, double value);
Tensor ne(const Tensor& x, double value);
Tensor lt(const Tensor& x, double value);
Tensor gt(const Tensor& x, double value);
Tensor le(const Tensor& x, double value);
Tensor ge(const Tensor& x, double value);

/// Truth values of any dtype: what is not 0 is true, NaN too. a and b broadcast and may differ in dtype;
/// returns bool. Not differentiable.
Tensor logical_not(const Tensor& x);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
/// bool of x's shape, for any dtype. Not differentiable.
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor isfinite(const Tensor& x);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& x, double v) { return add(x, v); }
inline Tensor operator+(double v, const Tensor& x) { return add(x, v); }
inline Tensor operator-(const Tensor& x, double v) { return add(x, -v); }
inline Tensor operator-(double v, const Tensor& x) { return add(mul(x, -1.0), v); }
inline Tensor operator*(const Tensor& x, double v) { return mul(x, v); }
inline Tensor operator*(double v, const Tensor& x) { return mul(x, v); }
// Beside bf16 the number is not rounded before it divides.
inline Tensor operator/(const Tensor& x, double v) {
  return div(x, full({}, v, {.dtype = parameter_dtype(x.dtype()), .device = x.device()})).to(x.dtype());
}
inline Tensor operator/(double v, const Tensor& x) {
  return div(full({}, v, {.dtype = parameter_dtype(x.dtype()), .device = x.device()}), x).to(x.dtype());
}
inline Tensor operator-(const Tensor& x) { return mul(x, -1.0); }

/// x summed over the dimensions it was broadcast along, back to `shape`: the gradient of broadcasting.
/// x itself if it has that shape; bf16 is summed in f32, whole numbers and truth values give i64.
/// Differentiable. Throws Error if `shape` does not broadcast to x's.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace karyon
