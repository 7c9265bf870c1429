#pragma once
#include <karyon/core/kernels/conv.h>
#include <karyon/core/tensor.h>

// The steps before or after a convolution that cuDNN computes. Parameters are f32 or of the other tensor's
// dtype, which is f32 or bf16.
namespace karyon::cuda {

/// y = max(scale y + shift, 0) in place, per channel (the last dimension). Without `relu` there is no max.
/// scale and shift [C] may be undefined (1 and 0).
void channel_affine(Tensor& y, const Tensor& scale, const Tensor& shift, bool relu);

/// y = activation(y + residual) in place.
void finish_in_place(Tensor& y, const ConvFinish& finish);

/// out[k, ...] = weight[k, ...] scale[k], for a weight of K filters; `out` has room for it, in its dtype.
void scale_filters(const Tensor& weight, const Tensor& scale, void* out);

/// out[i] = values[i], f32, in bf16.
void round_to_bf16(const Tensor& values, BFloat16* out);

}  // namespace karyon::cuda
