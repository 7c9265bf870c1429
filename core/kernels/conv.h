#pragma once
#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/conv.h>

namespace karyon {

/// Sizes of one convolution, as the kernels see it: x [N, H, W, C] -> y [N, H_out, W_out, K].
struct ConvGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  std::int64_t h_out = 0, w_out = 0, k = 0;
  Pair kernel = 1, stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
  friend bool operator==(const ConvGeometry&, const ConvGeometry&) = default;
};

/// What is likely to follow a convolution. A kernel may use it to save later work; y does not depend on it.
struct ConvHints {
  bool moments = false;       ///< a batch norm follows: the mean and variance of y can be kept with y
  bool keep_filters = false;  ///< weights do not change: their packed form can be kept with them
};

/// The last steps of conv2d_affine: y = activation(. + residual).
struct ConvFinish {
  ActivationKind activation = ActivationKind::none;
  Tensor residual = {};  // y's shape, dtype and device, or undefined
};

}  // namespace karyon

namespace karyon::kernels {

// f32, f64 or bf16. In bf16 sums are f32 and rounded once, and bias, scale, shift and dbias are f32.

/// y = x * weight + bias.
extern Kernel<void(const ConvGeometry&, const ConvHints&, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, Tensor& y)>
    conv2d;
/// y = activation(scale (x * weight) + shift + residual).
extern Kernel<void(const ConvGeometry&, const ConvHints&, const Tensor& x, const Tensor& weight,
                   const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y)>
    conv2d_affine;
/// dx = the transpose of conv2d applied to dy, + bias over x's channels (for conv_transpose2d) if defined.
extern Kernel<void(const ConvGeometry&, const ConvHints&, const Tensor& dy, const Tensor& weight,
                   const Tensor& bias, Tensor& dx)>
    conv2d_backward_data;
/// dweight from the input and the output's gradient.
extern Kernel<void(const ConvGeometry&, const Tensor& x, const Tensor& dy, Tensor& dweight)>
    conv2d_backward_weight;
/// dbias [K] = dy summed over everything but the channels.
extern Kernel<void(const Tensor& dy, Tensor& dbias)> conv2d_backward_bias;

}  // namespace karyon::kernels
