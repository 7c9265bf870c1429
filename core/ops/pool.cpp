#include <karyon/core/autograd.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/ops/pool.h>

namespace karyon {
namespace {

void check_images(const Tensor& x, const char* op) {
  check(x.dim() == 4, op, ": expects images [N, H, W, C], got ", x.shape());
  check(is_floating(x.dtype()), op, ": expects f32, f64 or bf16, got ", x.dtype());
}

kernels::PoolWindow checked_window(const kernels::PoolWindow& window, const char* op) {
  const auto& [kernel, stride, padding, dilation, include] = window;
  check(
      kernel.h >= 1 && kernel.w >= 1 && stride.h >= 1 && stride.w >= 1 && dilation.h >= 1 && dilation.w >= 1,
      op, ": expects kernel, stride and dilation of at least 1, got ", kernel, ", ", stride, " and ",
      dilation);
  check(padding.h >= 0 && padding.w >= 0 && padding.h <= kernel.h / 2 && padding.w <= kernel.w / 2, op,
        ": expects a padding of at most half the kernel ", kernel, ", got ", padding);
  checked_mul(kernel.h, kernel.w, op);  // kernels number the positions in a window
  return window;
}

Shape pooled_shape(const Shape& x, const kernels::PoolWindow& window, const char* op) {
  const auto& [kernel, stride, padding, dilation, include] = window;
  const Pair size = window_positions(
      op, {x[1], x[2]}, {.kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation});
  const Shape out{x[0], size.h, size.w, x[3]};
  check(x[1] > 0 && x[2] > 0 && out[1] > 0 && out[2] > 0, op, ": a window of ", kernel, " (padding ", padding,
        ", dilation ", dilation, ") does not fit in ", x);
  return out;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  check_images(x, "max_pool2d");
  const auto window = checked_window({.kernel = options.kernel_size,
                                      .stride = options.stride.value_or(options.kernel_size),
                                      .padding = options.padding,
                                      .dilation = options.dilation},
                                     "max_pool2d");
  const Shape shape = pooled_shape(x.shape(), window, "max_pool2d");
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  // A byte per output is smaller to keep than x, which can then be freed.
  Tensor index;
  if (x.requires_grad() && grad_enabled())
    index =
        empty(shape, {.dtype = window.kernel.h * window.kernel.w <= 256 ? u8 : i64, .device = x.device()});
  kernels::max_pool2d(x, y, index, window);
  return record("max_pool2d", y, {x}, [index, window, before = x.shape()](const Tensor& dy) {
    if (window.halves())
      return std::vector{lazy_tensor(std::make_shared<LazyMaxPoolGradient>(dy, index, before, window))};
    Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
    kernels::max_pool2d_backward(dy, index, dx, window);
    return std::vector{dx};
  });
}

Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options) {
  check_images(x, "avg_pool2d");
  const auto window = checked_window({.kernel = options.kernel_size,
                                      .stride = options.stride.value_or(options.kernel_size),
                                      .padding = options.padding,
                                      .dilation = 1,
                                      .count_include_pad = options.count_include_pad},
                                     "avg_pool2d");
  Tensor y = empty(pooled_shape(x.shape(), window, "avg_pool2d"), {.dtype = x.dtype(), .device = x.device()});
  kernels::avg_pool2d(x, y, window);
  return record("avg_pool2d", y, {x}, [window, before = x.shape()](const Tensor& dy) {
    Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
    kernels::avg_pool2d_backward(dy, dx, window);
    return std::vector{dx};
  });
}

Tensor adaptive_avg_pool2d(const Tensor& x, Pair output_size) {
  check_images(x, "adaptive_avg_pool2d");
  check(output_size.h >= 1 && output_size.w >= 1 && x.size(1) >= 1 && x.size(2) >= 1,
        "adaptive_avg_pool2d: expects images and an output of at least one pixel, got ", x.shape(), " and ",
        output_size);
  Tensor y =
      empty({x.size(0), output_size.h, output_size.w, x.size(3)}, {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() > 0) kernels::adaptive_avg_pool2d(x, y);  // its time grows with the size, whatever x holds
  return record("adaptive_avg_pool2d", y, {x}, [before = x.shape()](const Tensor& dy) {
    Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
    if (dx.numel() > 0) kernels::adaptive_avg_pool2d_backward(dy, dx);
    return std::vector{dx};
  });
}

}  // namespace karyon
