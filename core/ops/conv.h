#pragma once
#include <vector>

#include <karyon/core/tensor.h>

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
/// x and weight f32, f64 or bf16, bias the same or, beside bf16, f32; see autocast.h. Differentiable in x,
/// weight and bias. Throws Error if the channels or dtypes disagree or H_out < 1.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

/// The activations that a convolution can compute in its last step; none is x itself.
enum class ActivationKind { none, relu, relu6, silu, hardswish, gelu };

struct Conv2dAffineOptions {
  Conv2dOptions conv = {};
  ActivationKind activation = ActivationKind::none;
  Tensor residual = {};  ///< is added before the activation: of the result's shape and dtype, or undefined
};

/// A convolution and what follows it at inference, in one pass over memory: activation(scale conv2d(x,
/// weight) + shift + residual). Scale and shift are per output channel: a batch norm by its running
/// statistics, or a bias.
///   x, weight     as conv2d
///   scale, shift  [C_out] or undefined (1 and 0)
///   returns       as conv2d
/// Dtypes as conv2d: scale and shift as its bias. It has no gradient: it throws Error where one would be
/// recorded, for a residual that does not fit, and otherwise as conv2d.
Tensor conv2d_affine(const Tensor& x, const Tensor& weight, const Tensor& scale, const Tensor& shift,
                     const Conv2dAffineOptions& options = {});

/// The same with an input in parts: conv2d_affine(cat(inputs, -1), ...). If the kernel can read the parts,
/// they are never joined.
Tensor conv2d_affine(const std::vector<Tensor>& inputs, const Tensor& weight, const Tensor& scale,
                     const Tensor& shift, const Conv2dAffineOptions& options = {});

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
/// Dtypes as conv2d. Differentiable in x, weight and bias. Throws Error if the channels or dtypes disagree,
/// H_out < 1, or output_padding is not below the stride or the dilation.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

}  // namespace karyon
