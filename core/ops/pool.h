#pragma once
#include <optional>

#include <karyon/core/kernel.h>

namespace karyon {

struct Pool2dOptions {
  Pair kernel_size = 2;
  std::optional<Pair> stride = {};  ///< kernel_size if not given
  Pair padding = 0;                 ///< at most half the kernel
  Pair dilation = 1;                ///< max_pool2d only
  bool count_include_pad = true;    ///< avg_pool2d only: padding counts in the mean
};

/// The largest value of each window, as torch.nn.functional.max_pool2d. Padding never wins.
///   x        [N, H, W, C]
///   returns  [N, H_out, W_out, C], H_out = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1
/// A NaN in a window wins. f32, f64 or bf16. Differentiable in x: the first of equal values gets the
/// gradient. Throws Error if H_out < 1.
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options = {});

/// The mean of each window, as torch.nn.functional.avg_pool2d. Shapes and errors as max_pool2d.
/// f32, f64 or bf16 (summed in f32). Differentiable in x.
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options = {});

/// Means over windows chosen so that the output has a given size.
///   x        [N, H, W, C]
///   returns  [N, output.h, output.w, C]; window i covers floor(i H / out) to ceil((i + 1) H / out)
/// f32, f64 or bf16 (summed in f32). Differentiable in x. Throws Error for an empty image or output.
Tensor adaptive_avg_pool2d(const Tensor& x, Pair output_size);

namespace kernels {

/// Pool2dOptions with the stride decided.
struct PoolWindow {
  Pair kernel, stride, padding, dilation;
  bool count_include_pad = true;

  /// Windows of 2 x 2 side by side.
  bool halves() const {
    return kernel == Pair(2) && stride == Pair(2) && padding == Pair(0) && dilation == Pair(1);
  }
};

// f32, f64 or bf16, which is added up in f32 and rounded once.

/// `index`, y's shape, u8 or i64: which position of its window (ky * kernel.w + kx) won. Undefined if
/// nobody asks.
extern Kernel<void(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& window)> max_pool2d;
extern Kernel<void(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& window)>
    max_pool2d_backward;
extern Kernel<void(const Tensor& x, Tensor& y, const PoolWindow& window)> avg_pool2d;
extern Kernel<void(const Tensor& dy, Tensor& dx, const PoolWindow& window)> avg_pool2d_backward;
extern Kernel<void(const Tensor& x, Tensor& y)> adaptive_avg_pool2d;
extern Kernel<void(const Tensor& dy, Tensor& dx)> adaptive_avg_pool2d_backward;

}  // namespace kernels
}  // namespace karyon
