#pragma once
#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/resize.h>

namespace karyon::kernels {

// f32, f64 or bf16, which is added up in f32 and rounded once.
extern Kernel<void(const Tensor& x, Tensor& y, const InterpolateOptions& options)> interpolate;
extern Kernel<void(const Tensor& dy, Tensor& dx, const InterpolateOptions& options)> interpolate_backward;

}  // namespace karyon::kernels
