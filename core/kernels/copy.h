#pragma once
#include <karyon/core/kernels/kernel.h>

// The kernels of Tensor's own methods (to, clone, fill_, copy_, add_, mul_) and of the autograd engine. bf16
// is computed in f32 and rounded once.
namespace karyon::kernels {

/// y = value, any dtype.
extern Kernel<void(Tensor& y, double value)> fill;
/// y = x converted to y's dtype; same shape.
extern Kernel<void(const Tensor& x, Tensor& y)> convert;
/// y += alpha * x; same shape and dtype.
extern Kernel<void(double alpha, const Tensor& x, Tensor& y)> axpy;
/// y *= factor.
extern Kernel<void(double factor, Tensor& y)> scale;

}  // namespace karyon::kernels
