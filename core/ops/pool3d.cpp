// A pool of volumes is one of images over height and width, then one over depth. The largest of the largest is
// the largest: the first frame with it comes first in the window, as does the first pixel in that frame, so
// the same element wins. The mean of means is the mean, as each window covers a box: the number of its frames
// times that of its pixels.
#include <karyon/core/autocast.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/pool3d.h>
#include <karyon/core/ops/pooling.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

TraceOptions options_of(const Triple& kernel, const Triple& stride, const Triple& padding,
                        const Triple& dilation, bool count_include_pad, bool ceil_mode) {
  const auto triple = [](const Triple& t) { return std::vector{t.d, t.h, t.w}; };
  return {{"kernel_size", triple(kernel)},
          {"stride", triple(stride)},
          {"padding", triple(padding)},
          {"dilation", triple(dilation)},
          {"count_include_pad", count_include_pad ? 1 : 0},
          {"ceil_mode", ceil_mode ? 1 : 0}};
}

// f over the frames of x [N, D, H, W, C], then g over depth, as the height of images one pixel wide.
template <class F, class G>
Tensor by_frames(const Tensor& x, const F& f, const G& g) {
  const std::int64_t n = x.size(0), d = x.size(1), c = x.size(4);
  const Tensor frames = f(x.reshape({n * d, x.size(2), x.size(3), c}));
  const std::int64_t h = frames.size(1), w = frames.size(2);
  const Tensor y = g(frames.reshape({n, d, 1, h * w * c}));
  return y.reshape({n, y.size(1), h, w, c});
}

}  // namespace

Tensor max_pool3d(const Tensor& x, const MaxPool3dOptions& o) {
  const Triple k = o.kernel_size, s = o.stride.value_or(k), p = o.padding, d = o.dilation;
  pooling::check_windows("max_pool3d", x, {{k.d, s.d, p.d, d.d}, {k.h, s.h, p.h, d.h}, {k.w, s.w, p.w, d.w}},
                         o.ceil_mode);
  const MaxPool2dOptions frames{.kernel_size = {k.h, k.w},
                                .stride = Pair(s.h, s.w),
                                .padding = {p.h, p.w},
                                .dilation = {d.h, d.w},
                                .ceil_mode = o.ceil_mode};
  const MaxPool2dOptions depth{.kernel_size = {k.d, 1},
                               .stride = Pair(s.d, 1),
                               .padding = {p.d, 0},
                               .dilation = {d.d, 1},
                               .ceil_mode = o.ceil_mode};
  return traced_whole(
      "max_pool3d", {x},
      [&] {
        return by_frames(
            x, [&](const Tensor& t) { return max_pool2d(t, frames); },
            [&](const Tensor& t) { return max_pool2d(t, depth); });
      },
      [&] { return options_of(k, s, p, d, false, o.ceil_mode); });
}

Tensor avg_pool3d(const Tensor& x, const AvgPool3dOptions& o) {
  const Triple k = o.kernel_size, s = o.stride.value_or(k), p = o.padding;
  pooling::check_windows("avg_pool3d", x, {{k.d, s.d, p.d}, {k.h, s.h, p.h}, {k.w, s.w, p.w}}, o.ceil_mode);
  const AvgPool2dOptions frames{.kernel_size = {k.h, k.w},
                                .stride = Pair(s.h, s.w),
                                .padding = {p.h, p.w},
                                .count_include_pad = o.count_include_pad,
                                .ceil_mode = o.ceil_mode};
  const AvgPool2dOptions depth{.kernel_size = {k.d, 1},
                               .stride = Pair(s.d, 1),
                               .padding = {p.d, 0},
                               .count_include_pad = o.count_include_pad,
                               .ceil_mode = o.ceil_mode};
  // Means between the two stay f32.
  return traced_whole(
      "avg_pool3d", {x},
      [&] {
        return by_frames(
                   widen(x), [&](const Tensor& t) { return avg_pool2d(t, frames); },
                   [&](const Tensor& t) { return avg_pool2d(t, depth); })
            .to(x.dtype());
      },
      [&] { return options_of(k, s, p, 1, o.count_include_pad, o.ceil_mode); });
}

Tensor adaptive_avg_pool3d(const Tensor& x, const Triple& size) {
  check(x.dim() == 5, "adaptive_avg_pool3d: expects x [N, D, H, W, C], got ", x.shape());
  check_computed("adaptive_avg_pool3d", x);
  check(size.d >= 1 && size.h >= 1 && size.w >= 1 && x.size(1) >= 1 && x.size(2) >= 1 && x.size(3) >= 1,
        "adaptive_avg_pool3d: expects volumes and an output of at least one voxel, got ", x.shape(), " and ",
        size);
  return traced_whole(
      "adaptive_avg_pool3d", {x},
      [&] {
        return by_frames(
                   widen(x), [&](const Tensor& t) { return adaptive_avg_pool2d(t, Pair(size.h, size.w)); },
                   [&](const Tensor& t) { return adaptive_avg_pool2d(t, Pair(size.d, 1)); })
            .to(x.dtype());
      },
      [] { return TraceOptions{}; });
}

}  // namespace karyon
