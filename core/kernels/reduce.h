#pragma once
#include <karyon/core/kernels/kernel.h>

// All see x as [outer, n, inner] and reduce n. f32, f64; sum, prod, extremes and their places on the CPU any
// type.
namespace karyon::kernels {

/// y [outer, inner] = scale times the sum: f32 for bf16; i64, with a scale of 1, for i64, u8 and bool.
extern Kernel<void(double scale, const Tensor& x, Tensor& y)> sum;
/// y [outer, inner] = the product, in the types of the sum.
extern Kernel<void(const Tensor& x, Tensor& y)> prod;
/// dx from dy [outer, 1, inner].
extern Kernel<void(const Tensor& dy, const Tensor& x, Tensor& dx)> prod_backward;
/// y [outer, inner] = the largest, the smallest; f32 for bf16, else x's type. Of nothing it is what any other
/// value replaces.
extern Kernel<void(const Tensor&x, Tensor&y)> max, min;
/// y [outer, inner] i64 = the index of the first largest, the first smallest; n >= 1.
extern Kernel<void(const Tensor&x, Tensor&y)> argmax, argmin;
/// y [outer, inner] = log(sum(exp(x))).
extern Kernel<void(const Tensor& x, Tensor& y)> logsumexp;

/// Gradients that are one formula of each element, its result and a number p: see functors/reduce.h.
enum class Slope { exponential, norm, deviation };
/// dx from y and dy, both [outer, 1, inner].
extern Kernel<void(Slope slope, double p, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx)>
    reduce_backward;

/// y [outer, n, inner] = softmax of x, or its logarithm.
extern Kernel<void(bool log, const Tensor& x, Tensor& y)> softmax;
/// dx from dy and softmax's (or log_softmax's) own y.
extern Kernel<void(bool log, const Tensor& dy, const Tensor& y, Tensor& dx)> softmax_backward;

}  // namespace karyon::kernels
