#pragma once
#include <karyon/core/kernels/kernel.h>

// All see x as [outer, n, inner] and run along n.
namespace karyon::kernels {

enum class Scan { sum, product };
/// y[k] = x[0] + ... + x[k], or the product; from the end if `reversed`. f32 and f64; on the CPU also i64, u8
/// and bool, which give i64.
extern Kernel<void(Scan op, bool reversed, const Tensor& x, Tensor& y)> scan;
/// dx of the running product y. f32, f64.
extern Kernel<void(const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx)> cumprod_backward;

/// index [outer, n, inner] i64 = where the largest (or smallest) of x[0] to x[k] lies, the last of equals;
/// NaN wins. On the CPU any type, elsewhere f32.
extern Kernel<void(bool largest, const Tensor& x, Tensor& index)> cummax;
/// dx = the sums of dy over the k of each index. f32, f64.
extern Kernel<void(const Tensor& index, const Tensor& dy, Tensor& dx)> cummax_backward;

}  // namespace karyon::kernels
