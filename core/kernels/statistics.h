#pragma once
#include <karyon/core/kernels/kernel.h>

// Both see x as [outer, n, inner] and reduce n; f32, f64.
namespace karyon::kernels {

/// var [outer, inner] = the squared deviations from the mean, over n - correction (at least 0); and the mean.
extern Kernel<void(double correction, const Tensor& x, Tensor& var, Tensor& mean)> var_mean;
/// y [outer, inner] = sum(|x|^p)^(1/p) for a finite p; the count of what is not 0 for p = 0.
extern Kernel<void(double p, const Tensor& x, Tensor& y)> norm;

}  // namespace karyon::kernels
