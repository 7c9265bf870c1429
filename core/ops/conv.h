#pragma once
#include <karyon/core/kernel.h>

namespace karyon {

struct Conv2dOptions {
  Pair stride = 1;
  Pair padding = 0;
  Pair dilation = 1;
  std::int64_t groups = 1;
};

/// 2-D cross-correlation, as torch.nn.functional.conv2d (with channels last).
///   x        [N, H, W, C_in]
///   weight   [C_out, kH, kW, C_in / groups]
///   bias     [C_out] or undefined
///   returns  [N, H_out, W_out, C_out], H_out = (H + 2 padding - dilation (kH - 1) - 1) / stride + 1
/// f32 or f64. Differentiable in x, weight and bias. Throws Error if the channels disagree or H_out < 1.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

struct ConvTranspose2dOptions {
  Pair stride = 1;
  Pair padding = 0;
  Pair output_padding = 0;
  Pair dilation = 1;
  std::int64_t groups = 1;
};

/// Transposed convolution: the gradient of conv2d in its input, as torch.nn.functional.conv_transpose2d.
///   x        [N, H, W, C_in]
///   weight   [C_in, kH, kW, C_out / groups]
///   bias     [C_out] or undefined
///   returns  [N, H_out, W_out, C_out],
///            H_out = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1
/// f32 or f64. Differentiable in x, weight and bias. Throws Error if the channels disagree, H_out < 1, or
/// output_padding is not below the stride or the dilation.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

}  // namespace karyon
