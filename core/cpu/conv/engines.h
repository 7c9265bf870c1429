#pragma once
#include <string>

#include <karyon/core/kernels/conv.h>

// Private to core/cpu: the implementations of convolution that conv.cpp chooses from.
namespace karyon::cpu {

/// Which implementation conv2d takes for this job, and why not the ones before it in the list:
/// "not winograd: the stride is not 1; direct". The other two directions choose alike.
std::string explain_conv2d(const ConvGeometry& g, DType dtype);

// Reference: plain loops, float and double.
void conv2d_reference(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      Tensor& y);
void conv2d_backward_data_reference(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                    const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_reference(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                      Tensor& dweight);

// Direct: register-blocked SIMD, float, any geometry.
void conv2d_direct(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   Tensor& y);
void conv2d_backward_data_direct(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                 const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_direct(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight);

// Winograd: 3 x 3 with stride 1, float. The first says why it cannot or should not do a job, or nullptr; the
// same holds for all three directions.
const char* conv2d_winograd_refuse(const ConvGeometry& g, DType dtype);
void conv2d_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     Tensor& y);
void conv2d_affine_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                            const Tensor& shift, bool relu, Tensor& y);
void conv2d_backward_data_winograd(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                   const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                     Tensor& dweight);

// The same in bf16, with AVX512_BF16.
const char* conv2d_winograd_bf16_refuse(const ConvGeometry& g, DType dtype);
void conv2d_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Tensor& y);
void conv2d_affine_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight,
                                 const Tensor& scale, const Tensor& shift, bool relu, Tensor& y);
void conv2d_backward_data_winograd_bf16(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                        const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                          Tensor& dweight);

// Direct in bf16, with AVX512_BF16: any geometry forward and for the weights, kernels as wide as the stride
// (those of transposed convolutions) for the data.
const char* conv2d_direct_bf16_refuse(const ConvGeometry& g, DType dtype);
const char* conv2d_backward_data_direct_bf16_refuse(const ConvGeometry& g, DType dtype);
void conv2d_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        Tensor& y);
void conv2d_affine_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& weight,
                               const Tensor& scale, const Tensor& shift, bool relu, Tensor& y);
void conv2d_backward_data_direct_bf16(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                      const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                        Tensor& dweight);

}  // namespace karyon::cpu
