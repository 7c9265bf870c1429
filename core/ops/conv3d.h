#pragma once
#include <karyon/core/tensor.h>
#include <karyon/core/triple.h>

namespace karyon {

struct Conv3dOptions {
  Triple stride = 1;
  Triple padding = 0;
  Triple dilation = 1;
  std::int64_t groups = 1;
};

/// 3-D cross-correlation, as torch.nn.functional.conv3d (with channels last).
///   x        [N, D, H, W, C_in]
///   weight   [C_out, kD, kH, kW, C_in / groups]
///   bias     [C_out] or undefined
///   returns  [N, D_out, H_out, W_out, C_out], sizes as conv2d's
/// Dtypes as conv2d. Differentiable in x, weight and bias. Beside its output it takes memory for some frames
/// at a time. Throws Error if the channels or dtypes disagree or a size of the output is below 1.
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv3dOptions& options = {});

struct ConvTranspose3dOptions {
  Triple stride = 1;
  Triple padding = 0;
  Triple output_padding = 0;
  Triple dilation = 1;
  std::int64_t groups = 1;
};

/// Transposed convolution: the gradient of conv3d in its input, as torch.nn.functional.conv_transpose3d.
///   x        [N, D, H, W, C_in]
///   weight   [C_in, kD, kH, kW, C_out / groups]
///   bias     [C_out] or undefined
///   returns  [N, D_out, H_out, W_out, C_out], sizes as conv_transpose2d's
/// Dtypes as conv2d. Differentiable in x, weight and bias. Throws Error if the channels or dtypes disagree, a
/// size of the output is below 1, or output_padding is not below the stride or the dilation.
Tensor conv_transpose3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose3dOptions& options = {});

}  // namespace karyon
