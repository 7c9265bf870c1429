#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

enum class Function {
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  log1p,
  log2,
  log10,
  exp2,
  expm1,
  rsqrt,
  erf
};
/// y = op(x). f32 and f64.
extern Kernel<void(Function op, const Tensor& x, Tensor& y)> function;
/// dx = dy op'(.), given the tensor that the formula needs: y for tan, exp2, expm1 and rsqrt, x for the rest.
/// f32 and f64.
extern Kernel<void(Function op, const Tensor& dy, const Tensor& saved, Tensor& dx)> function_backward;

}  // namespace karyon::kernels
