#pragma once
#include <karyon/core/kernels/conv.h>

// The hand-written convolutions: implicit GEMM, any geometry, f32 and bf16. They need nothing but the CUDA
// runtime.
namespace karyon::cuda {

// Arguments as the kernels of the same names in core/ops/conv.h. bias, scale and shift may be f32 where x is
// bf16, and so may dweight.
void conv2d_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_affine_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                        const Tensor& shift, bool relu, Tensor& y);
void conv2d_backward_data_gemm(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                               const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight);
void conv2d_backward_bias(const Tensor& dy, Tensor& dbias);

}  // namespace karyon::cuda
