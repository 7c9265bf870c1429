#pragma once
#include <karyon/core/kernels/kernel.h>

// All see x as [outer, n, inner] and reduce n. f32, f64; sum, max and argmax on the CPU any type.
namespace karyon::kernels {

/// y [outer, inner] = scale times the sum: f32 for bf16; i64, with a scale of 1, for i64, u8 and bool.
extern Kernel<void(double scale, const Tensor& x, Tensor& y)> sum;
/// y [outer, inner] = the largest; f32 for bf16, else x's type. n >= 1.
extern Kernel<void(const Tensor& x, Tensor& y)> max;
/// y [outer, inner] i64 = the index of the first largest; n >= 1.
extern Kernel<void(const Tensor& x, Tensor& y)> argmax;
/// y [outer, n, inner] = softmax of x, or its logarithm.
extern Kernel<void(bool log, const Tensor& x, Tensor& y)> softmax;
/// dx from dy and softmax's (or log_softmax's) own y.
extern Kernel<void(bool log, const Tensor& dy, const Tensor& y, Tensor& dx)> softmax_backward;

}  // namespace karyon::kernels
