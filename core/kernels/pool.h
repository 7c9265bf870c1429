#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// The options of a pooling operation with the stride decided.
struct PoolWindow {
  Pair kernel, stride, padding, dilation;
  bool count_include_pad = true;
  bool open_end = false;  ///< the last windows reach beyond the padding

  /// Windows of 2 x 2 side by side, inside the image.
  bool halves() const {
    return kernel == Pair(2) && stride == Pair(2) && padding == Pair(0) && dilation == Pair(1) && !open_end;
  }
};

// f32, f64 or bf16, which is added up in f32 and rounded once.

/// `index`, y's shape, u8 or i64: which position of its window (ky * kernel.w + kx) won. Undefined if it is
/// not asked for.
extern Kernel<void(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& window)> max_pool2d;
extern Kernel<void(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& window)>
    max_pool2d_backward;
/// dx += what max_pool2d_backward computes for windows of 2 x 2 side by side. CPU only.
extern Kernel<void(const Tensor& dy, const Tensor& index, Tensor& dx)> add_max_pool2d_backward;
extern Kernel<void(const Tensor& x, Tensor& y, const PoolWindow& window)> avg_pool2d;
extern Kernel<void(const Tensor& dy, Tensor& dx, const PoolWindow& window)> avg_pool2d_backward;
extern Kernel<void(const Tensor& x, Tensor& y)> adaptive_avg_pool2d;
extern Kernel<void(const Tensor& dy, Tensor& dx)> adaptive_avg_pool2d_backward;

}  // namespace karyon::kernels
