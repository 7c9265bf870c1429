#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

struct Conv1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

/// 1-D cross-correlation, as torch.nn.functional.conv1d (with channels last).
///   x        [N, L, C_in]
///   weight   [C_out, k, C_in / groups]
///   bias     [C_out] or undefined
///   returns  [N, L_out, C_out], L_out = (L + 2 padding - dilation (k - 1) - 1) / stride + 1
/// Dtypes and gradients as conv2d: it is one on images of a height of 1. Throws Error if the channels or
/// dtypes disagree or L_out < 1.
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv1dOptions& options = {});

struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

/// Transposed convolution: the gradient of conv1d in its input, as torch.nn.functional.conv_transpose1d.
///   x        [N, L, C_in]
///   weight   [C_in, k, C_out / groups]
///   bias     [C_out] or undefined
///   returns  [N, L_out, C_out], L_out = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1
/// Dtypes and gradients as conv2d. Throws Error if the channels or dtypes disagree, L_out < 1, or
/// output_padding is not below the stride or the dilation.
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose1dOptions& options = {});

}  // namespace karyon
