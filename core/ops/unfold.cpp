#include <algorithm>
#include <vector>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/unfold.h>

namespace karyon {
namespace {

// Windows over images that are padded already, [n, h, w, c], and their values [n, rows * cols, c, kH, kW].
struct Windows {
  std::int64_t n, h, w, c;
  Pair positions, kernel, stride, dilation;

  Shape images() const { return {n, h, w, c}; }
  Shape values() const { return {n, positions.h * positions.w, c * kernel.h * kernel.w}; }
  std::int64_t taps() const { return kernel.h * kernel.w; }
  // Loops over positions and channels, from the images to the values.
  std::vector<kernels::Axis> axes() const {
    const std::int64_t width = c * taps();
    return {{n, h * w * c, positions.h * positions.w * width},
            {positions.h, stride.h * w * c, positions.w * width},
            {positions.w, stride.w * c, width},
            {c, 1, taps()}};
  }
};

Windows windows_over(const char* op, const Shape& x, const UnfoldOptions& o) {
  const auto& [kernel, stride, padding, dilation] = o;
  check(
      kernel.h >= 1 && kernel.w >= 1 && stride.h >= 1 && stride.w >= 1 && dilation.h >= 1 && dilation.w >= 1,
      op, ": expects kernel_size, stride and dilation of at least 1, got ", kernel, ", ", stride, " and ",
      dilation);
  check(padding.h >= 0 && padding.w >= 0, op, ": expects padding >= 0, got ", padding);
  const Pair out = window_positions(
      op, {x[1], x[2]}, {.kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation});
  check(out.h >= 1 && out.w >= 1, op, ": a window of ", kernel, " with dilation ", dilation, " and padding ",
        padding, " does not fit in ", x);
  // Kernels multiply the stride and the dilation with sizes: those that no window uses are cut.
  checked_mul(checked_mul(kernel.h, kernel.w, op), x[3], op);
  return {.n = x[0],
          .h = x[1] + 2 * padding.h,
          .w = x[2] + 2 * padding.w,
          .c = x[3],
          .positions = out,
          .kernel = kernel,
          .stride = {std::min(stride.h, x[1] + 2 * padding.h), std::min(stride.w, x[2] + 2 * padding.w)},
          .dilation = {kernel.h == 1 ? 1 : dilation.h, kernel.w == 1 ? 1 : dilation.w}};
}

Pad2d border_of(Pair padding) { return {padding.h, padding.h, padding.w, padding.w}; }

Tensor gathered(const Tensor& x, const Windows& w) {
  Tensor y = empty(w.values(), {.dtype = x.dtype(), .device = x.device()});
  std::vector<kernels::Axis> axes = w.axes();
  axes.push_back({w.kernel.h, w.dilation.h * w.w * w.c, w.kernel.w});
  axes.push_back({w.kernel.w, w.dilation.w * w.c, 1});
  if (y.numel() > 0) kernels::copy_strided(x, y, 0, 0, axes);
  return y;
}

// Adds up one tap after the other: within a tap no two windows meet.
Tensor added(const Tensor& values, const Windows& w) {
  const Tensor from = widen(values);
  Tensor y = zeros(w.images(), {.dtype = from.dtype(), .device = from.device()});
  std::vector<kernels::Axis> axes;
  for (const auto& [size, image, value] : w.axes()) axes.push_back({size, value, image});
  for (std::int64_t tap = 0; y.numel() > 0 && tap < w.taps(); ++tap) {
    Tensor part = zeros(w.images(), {.dtype = from.dtype(), .device = from.device()});
    const std::int64_t row = tap / w.kernel.w * w.dilation.h, col = tap % w.kernel.w * w.dilation.w;
    kernels::copy_strided(from, part, tap, (row * w.w + col) * w.c, axes);
    kernels::axpy(1, part, y);
  }
  return y.to(values.dtype());
}

Tensor folded(const char* op, const Tensor& values, const Windows& w);
// gathered() and added(), recorded: each is the gradient of the other.
Tensor unfolded(const char* op, const Tensor& x, const Windows& w) {
  return record(op, gathered(x, w), {x}, twice_differentiable,
                [op, w](const Tensor& dy) { return std::vector{folded(op, dy, w)}; });
}
Tensor folded(const char* op, const Tensor& values, const Windows& w) {
  return record(op, added(values.detach(), w), {values}, twice_differentiable,
                [op, w](const Tensor& dy) { return std::vector{unfolded(op, dy, w)}; });
}

}  // namespace

Tensor unfold(const Tensor& x, const UnfoldOptions& options) {
  check(x.dim() == 4, "unfold: expects images [N, H, W, C], got ", x.shape());
  const Windows w = windows_over("unfold", x.shape(), options);
  const Tensor padded = options.padding == Pair(0) ? x : pad(x, border_of(options.padding));
  return unfolded("unfold", padded, w);
}

Tensor fold(const Tensor& x, Pair output_size, const UnfoldOptions& options) {
  check(x.dim() == 3, "fold: expects values of windows [N, L, C kH kW], got ", x.shape());
  check_computed("fold", x);
  check(output_size.h >= 1 && output_size.w >= 1, "fold: expects an output of at least one pixel, got ",
        output_size);
  const auto [kh, kw] = options.kernel_size;
  const std::int64_t taps = kh >= 1 && kw >= 1 ? checked_mul(kh, kw, "fold") : 1;
  check(x.size(2) % taps == 0, "fold: expects values divisible by the window's ", taps, ", got ", x.shape());
  const Windows w =
      windows_over("fold", {x.size(0), output_size.h, output_size.w, x.size(2) / taps}, options);
  check(x.shape() == w.values(), "fold: expects ", w.values(), " for ", output_size, ", got ", x.shape());
  const Tensor y = folded("fold", x, w);
  if (options.padding == Pair(0)) return y;
  return crop(y, options.padding.h, options.padding.w, output_size);
}

}  // namespace karyon
