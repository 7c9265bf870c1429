#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

enum class Unary { add, mul, neg, floor, ceil, round, trunc, sign, exp, log, sqrt, abs, clamp, pow };
/// y = op(x), with the numbers p and q that some operations take. f32 and f64. add, mul, neg, floor, ceil,
/// round, trunc, sign, abs, clamp and pow 2 also take bf16 (computed in f32); add and mul also take i64.
extern Kernel<void(Unary op, double p, double q, const Tensor& x, Tensor& y)> unary;
/// dx = dy op'(.), given the tensor that the formula needs: y for exp and sqrt, x for the rest. add to sign
/// have none. f32 and f64; abs, clamp and pow 2 also bf16.
extern Kernel<void(Unary op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx)>
    unary_backward;

enum class Binary {
  add,
  sub,
  mul,
  div,
  pow,
  maximum,
  minimum,
  remainder,
  fmod,
  atan2,
  tie,
  eq,
  ne,
  lt,
  le,
  gt,
  ge
};
/// y = op(a, b), a and b broadcast to y's shape. Comparisons (eq and later) take any dtype and write bool.
/// The others take f32 and f64, and, except pow, atan2 and tie, bf16 (computed in f32). add, sub and mul also
/// take i64. tie is 1 where a equals b or both are NaN, else 0.
extern Kernel<void(Binary op, const Tensor& a, const Tensor& b, Tensor& y)> binary;
enum class Side { a, b };
/// dx = dy d op(a, b) / d side, in dy's shape (not yet summed back to the side's). It serves div to atan2.
/// f32 and f64; all but pow and atan2 also bf16.
extern Kernel<void(Binary op, Side side, const Tensor& dy, const Tensor& a, const Tensor& b, Tensor& dx)>
    binary_backward;

/// y = a + weight (b - a), all broadcast to y's shape; an undefined weight is the number p. f32, f64, bf16
/// (computed in f32).
extern Kernel<void(const Tensor& a, const Tensor& b, const Tensor& weight, double p, Tensor& y)> lerp;
/// y = condition ? a : b, all three broadcast to y's shape; any dtype.
extern Kernel<void(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y)> where;
/// y = scale x, x broadcast to y's shape. f32, f64.
extern Kernel<void(double scale, const Tensor& x, Tensor& y)> broadcast;

}  // namespace karyon::kernels
