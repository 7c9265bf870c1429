#pragma once
#include <optional>

#include <karyon/core/tensor.h>

namespace karyon {

struct MaxPool2dOptions {
  Pair kernel_size = 2;
  std::optional<Pair> stride = {};  ///< kernel_size if not given
  Pair padding = 0;                 ///< at most half the kernel
  Pair dilation = 1;
  bool ceil_mode = false;  ///< sizes are rounded up: the last windows may reach beyond the padding
};

/// The largest value of each window, as torch.nn.functional.max_pool2d. Padding never wins.
///   x        [N, H, W, C]
///   returns  [N, H_out, W_out, C], H_out = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1
/// With ceil_mode the quotient is rounded up, but each window begins inside the image or the padding before
/// it. A NaN in a window wins. f32, f64 or bf16. Differentiable in x: the first of equal values gets the
/// gradient. Throws Error if H_out < 1.
Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options = {});

struct AvgPool2dOptions {
  Pair kernel_size = 2;
  std::optional<Pair> stride = {};  ///< kernel_size if not given
  Pair padding = 0;                 ///< at most half the kernel
  bool count_include_pad = true;    ///< padding counts in the mean
  bool ceil_mode = false;           ///< as in MaxPool2dOptions; what is beyond the padding never counts
};

/// The mean of each window, as torch.nn.functional.avg_pool2d. Shapes and errors as max_pool2d without
/// dilation. f32, f64 or bf16 (summed in f32). Differentiable in x.
Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options = {});

/// Means over windows chosen so that the output has a given size.
///   x        [N, H, W, C]
///   returns  [N, output.h, output.w, C]; window i covers floor(i H / out) to ceil((i + 1) H / out)
/// f32, f64 or bf16 (summed in f32). Differentiable in x. Throws Error for an empty image or output.
Tensor adaptive_avg_pool2d(const Tensor& x, Pair output_size);

}  // namespace karyon
