#include <algorithm>
#include <vector>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/pooling.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

void check_images(const Tensor& x, const char* op) {
  check(x.dim() == 4, op, ": expects images [N, H, W, C], got ", x.shape());
  check_computed(op, x);
}

kernels::PoolWindow checked_window(const kernels::PoolWindow& window, const char* op) {
  const auto& [kernel, stride, padding, dilation, include, open_end] = window;
  check(
      kernel.h >= 1 && kernel.w >= 1 && stride.h >= 1 && stride.w >= 1 && dilation.h >= 1 && dilation.w >= 1,
      op, ": expects kernel, stride and dilation of at least 1, got ", kernel, ", ", stride, " and ",
      dilation);
  check(padding.h >= 0 && padding.w >= 0 && padding.h <= kernel.h / 2 && padding.w <= kernel.w / 2, op,
        ": expects a padding of at most half the kernel ", kernel, ", got ", padding);
  checked_mul(kernel.h, kernel.w, op);  // kernels number the positions in a window
  return window;
}

pooling::Window rows_of(const kernels::PoolWindow& w) {
  return {w.kernel.h, w.stride.h, w.padding.h, w.dilation.h};
}
pooling::Window columns_of(const kernels::PoolWindow& w) {
  return {w.kernel.w, w.stride.w, w.padding.w, w.dilation.w};
}

Shape pooled_shape(const Shape& x, const kernels::PoolWindow& window, bool ceil_mode, const char* op) {
  const Shape out{x[0], pooling::positions(op, x[1], rows_of(window), ceil_mode),
                  pooling::positions(op, x[2], columns_of(window), ceil_mode), x[3]};
  check(x[1] > 0 && x[2] > 0 && out[1] > 0 && out[2] > 0, op, ": a window of ", window.kernel, " (padding ",
        window.padding, ", dilation ", window.dilation, ") does not fit in ", x);
  return out;
}

// For each window along a dimension, the share of the image in what it covers of image and padding.
std::vector<double> shares(std::int64_t size, std::int64_t outputs, const pooling::Window& w) {
  std::vector<double> all;
  for (std::int64_t o = 0; o < outputs; ++o) {
    const std::int64_t begin = o * w.stride - w.padding;
    const auto covered =
        static_cast<double>(std::min(begin + w.kernel, size) - std::max<std::int64_t>(begin, 0));
    all.push_back(covered / static_cast<double>(std::min(begin + w.kernel, size + w.padding) - begin));
  }
  return all;
}

// Means in which padding counts, of windows that reach beyond it: those without padding, corrected.
Tensor open_ended_average(const Tensor& x, AvgPool2dOptions options, const kernels::PoolWindow& window) {
  options.count_include_pad = false;
  const Tensor y = avg_pool2d(widen(x), options);
  const TensorOptions like{.dtype = y.dtype(), .device = y.device()};
  const Tensor rows = tensor(shares(x.size(1), y.size(1), rows_of(window)), {y.size(1), 1, 1}, like);
  const Tensor columns = tensor(shares(x.size(2), y.size(2), columns_of(window)), {y.size(2), 1}, like);
  return (y * (rows * columns)).to(x.dtype());
}

// Where in the H W pixels of the input the winner of each window lies, [N, outputs, C].
Tensor winners(const Tensor& index, const Shape& before, const kernels::PoolWindow& window) {
  const TensorOptions options{.dtype = i64, .device = index.device()};
  const auto along = [&](std::int64_t n, std::int64_t stride, std::int64_t padding) {
    return arange(n, options) * static_cast<double>(stride) + static_cast<double>(-padding);
  };
  const Tensor at = index.to(i64);
  const Tensor y = floor((at.to(f32) + 0.5) / static_cast<double>(window.kernel.w)).to(i64);
  const Tensor x = at + y * static_cast<double>(-window.kernel.w);
  const std::int64_t h = index.size(1), w = index.size(2);
  const Tensor row = y * static_cast<double>(window.dilation.h) +
                     along(h, window.stride.h, window.padding.h).reshape({h, 1, 1});
  const Tensor column = x * static_cast<double>(window.dilation.w) +
                        along(w, window.stride.w, window.padding.w).reshape({w, 1});
  return (row * static_cast<double>(before[2]) + column).reshape({index.size(0), h * w, index.size(3)});
}

// The gradient of max_pool2d(); its own takes the values of the same winners.
Tensor max_pool_gradient(const Tensor& dy, const Tensor& index, const Shape& before,
                         const kernels::PoolWindow& window) {
  Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
  kernels::max_pool2d_backward(dy, index, dx, window);
  return record("max_pool2d", dx, {dy}, twice_differentiable, [index, before, window](const Tensor& ddx) {
    const Tensor pixels = ddx.reshape({before[0], before[1] * before[2], before[3]});
    return std::vector{gather(pixels, 1, winners(index, before, window)).reshape(index.shape())};
  });
}

// The gradient of a pool of means in its input of shape `before`; its own is that pool again.
template <class Kernel, class Pool>
Tensor mean_pool_gradient(const char* name, const Tensor& dy, const Shape& before, const Kernel& kernel,
                          const Pool& pool) {
  Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
  kernel(dy, dx);
  return record(name, dx, {dy}, twice_differentiable,
                [pool](const Tensor& ddx) { return std::vector{pool(ddx)}; });
}

TraceOptions options_of(const kernels::PoolWindow& window, bool ceil_mode) {
  return {{"kernel_size", std::vector{window.kernel.h, window.kernel.w}},
          {"stride", std::vector{window.stride.h, window.stride.w}},
          {"padding", std::vector{window.padding.h, window.padding.w}},
          {"dilation", std::vector{window.dilation.h, window.dilation.w}},
          {"count_include_pad", window.count_include_pad ? 1 : 0},
          {"ceil_mode", ceil_mode ? 1 : 0}};
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  check_images(x, "max_pool2d");
  auto window = checked_window({.kernel = options.kernel_size,
                                .stride = options.stride.value_or(options.kernel_size),
                                .padding = options.padding,
                                .dilation = options.dilation},
                               "max_pool2d");
  const Shape shape = pooled_shape(x.shape(), window, options.ceil_mode, "max_pool2d");
  window.open_end = options.ceil_mode &&
                    (shape[1] > pooling::positions("max_pool2d", x.size(1), rows_of(window), false) ||
                     shape[2] > pooling::positions("max_pool2d", x.size(2), columns_of(window), false));
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  // A byte per output is smaller to keep than x, which can then be freed.
  Tensor index;
  if (x.requires_grad() && grad_enabled())
    index =
        empty(shape, {.dtype = window.kernel.h * window.kernel.w <= 256 ? u8 : i64, .device = x.device()});
  kernels::max_pool2d(x, y, index, window);
  y = record(
      "max_pool2d", y, {x}, twice_differentiable, [index, window, before = x.shape()](const Tensor& dy) {
        if (window.halves() && !grad_enabled())
          return std::vector{lazy_tensor(std::make_shared<LazyMaxPoolGradient>(dy, index, before, window))};
        return std::vector{max_pool_gradient(dy, index, before, window)};
      });
  return traced(y, [&] { return options_of(window, options.ceil_mode); });
}

Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options) {
  check_images(x, "avg_pool2d");
  // Beyond the padding nothing counts: without any, only the image does.
  const bool only_image = options.ceil_mode && options.padding == Pair(0);
  const auto window = checked_window({.kernel = options.kernel_size,
                                      .stride = options.stride.value_or(options.kernel_size),
                                      .padding = options.padding,
                                      .dilation = 1,
                                      .count_include_pad = options.count_include_pad && !only_image},
                                     "avg_pool2d");
  const Shape shape = pooled_shape(x.shape(), window, options.ceil_mode, "avg_pool2d");
  if (options.ceil_mode && window.count_include_pad) return open_ended_average(x, options, window);
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  kernels::avg_pool2d(x, y, window);
  y = record("avg_pool2d", y, {x}, twice_differentiable,
             [window, options, before = x.shape()](const Tensor& dy) {
               return std::vector{mean_pool_gradient(
                   "avg_pool2d", dy, before,
                   [&](const Tensor& d, Tensor& dx) { kernels::avg_pool2d_backward(d, dx, window); },
                   [options](const Tensor& ddx) { return avg_pool2d(ddx, options); })};
             });
  return traced(y, [&] { return options_of(window, options.ceil_mode); });
}

Tensor adaptive_avg_pool2d(const Tensor& x, Pair output_size) {
  check_images(x, "adaptive_avg_pool2d");
  check(output_size.h >= 1 && output_size.w >= 1 && x.size(1) >= 1 && x.size(2) >= 1,
        "adaptive_avg_pool2d: expects images and an output of at least one pixel, got ", x.shape(), " and ",
        output_size);
  Tensor y =
      empty({x.size(0), output_size.h, output_size.w, x.size(3)}, {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() > 0) kernels::adaptive_avg_pool2d(x, y);  // its time grows with the size, whatever x holds
  return record("adaptive_avg_pool2d", y, {x}, twice_differentiable,
                [output_size, before = x.shape()](const Tensor& dy) {
                  return std::vector{mean_pool_gradient(
                      "adaptive_avg_pool2d", dy, before,
                      [](const Tensor& d, Tensor& dx) {
                        if (dx.numel() > 0) kernels::adaptive_avg_pool2d_backward(d, dx);
                      },
                      [output_size](const Tensor& ddx) { return adaptive_avg_pool2d(ddx, output_size); })};
                });
}

}  // namespace karyon
