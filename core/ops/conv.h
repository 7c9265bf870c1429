#pragma once
#include <vector>

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
/// x and weight f32, f64 or bf16, bias the same or, beside bf16, f32; see autocast.h. Differentiable in x,
/// weight and bias. Throws Error if the channels or dtypes disagree or H_out < 1.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

struct Conv2dAffineOptions {
  Conv2dOptions conv = {};
  bool relu = false;  ///< max(., 0) on the result
};

/// A convolution and what follows it at inference, in one pass over memory: scale conv2d(x, weight) + shift
/// per output channel (a batch norm by its running statistics, or a bias), then ReLU.
///   x, weight     as conv2d
///   scale, shift  [C_out] or undefined (1 and 0)
///   returns       as conv2d
/// Dtypes as conv2d: scale and shift as its bias. Has no gradient: throws Error where one would be recorded,
/// and otherwise as conv2d.
Tensor conv2d_affine(const Tensor& x, const Tensor& weight, const Tensor& scale, const Tensor& shift,
                     const Conv2dAffineOptions& options = {});

/// The same with an input in parts that stand side by side in their channels: conv2d_affine(cat(inputs, -1),
/// ...) without joining them where the kernel can read them apart.
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

/// Sizes of one convolution, as the kernels see it: x [N, H, W, C] -> y [N, H_out, W_out, K].
struct ConvGeometry {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  std::int64_t h_out = 0, w_out = 0, k = 0;
  Pair kernel = 1, stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
  bool moments = false;       ///< a batch norm is to be expected: its statistics of y are welcome with y
  bool keep_filters = false;  ///< nothing trains: what a kernel makes of the weights serves later calls, too
};

namespace kernels {
// f32, f64 or bf16. In bf16 sums are f32 and rounded once, and bias, scale, shift and dbias are f32.

/// y = x * weight + bias.
extern Kernel<void(const ConvGeometry&, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y)>
    conv2d;
/// y = scale (x * weight) + shift, or max(that, 0).
extern Kernel<void(const ConvGeometry&, const Tensor& x, const Tensor& weight, const Tensor& scale,
                   const Tensor& shift, bool relu, Tensor& y)>
    conv2d_affine;
/// dx = the transpose of conv2d applied to dy, + bias over x's channels (for conv_transpose2d) if defined.
extern Kernel<void(const ConvGeometry&, const Tensor& dy, const Tensor& weight, const Tensor& bias,
                   Tensor& dx)>
    conv2d_backward_data;
/// dweight from the input and the output's gradient.
extern Kernel<void(const ConvGeometry&, const Tensor& x, const Tensor& dy, Tensor& dweight)>
    conv2d_backward_weight;
/// dbias [K] = dy summed over everything but the channels.
extern Kernel<void(const Tensor& dy, Tensor& dbias)> conv2d_backward_bias;
}  // namespace kernels

}  // namespace karyon
