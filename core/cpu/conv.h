#pragma once
#include <karyon/core/ops/conv.h>

// Private to core/cpu: the implementations of convolution that conv.cpp chooses from.
namespace karyon::cpu {

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

}  // namespace karyon::cpu
