#include <karyon/core/autograd.h>
#include <karyon/core/kernels/resize.h>
#include <karyon/core/ops/resize.h>

namespace karyon {

Tensor interpolate(const Tensor& x, Pair size, const InterpolateOptions& options) {
  check(x.dim() == 4, "interpolate: expects images [N, H, W, C], got ", x.shape());
  check(is_floating(x.dtype()), "interpolate: expects f32, f64 or bf16, got ", x.dtype());
  check(size.h >= 1 && size.w >= 1 && x.size(1) >= 1 && x.size(2) >= 1,
        "interpolate: expects images and a size of at least one pixel, got ", x.shape(), " and ", size);
  check(!options.align_corners || options.mode == InterpolateMode::bilinear,
        "interpolate: align_corners expects bilinear, got nearest");
  Tensor y = empty({x.size(0), size.h, size.w, x.size(3)}, {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() > 0) kernels::interpolate(x, y, options);  // its time grows with the size, whatever x holds
  return record("interpolate", y, {x}, [options, before = x.shape()](const Tensor& dy) {
    Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
    if (dx.numel() > 0) kernels::interpolate_backward(dy, dx, options);
    return std::vector{dx};
  });
}

}  // namespace karyon
