// Nearest and linear modes have kernels for images. Sequences are images of a height of 1; volumes are
// resampled frame by frame, then in depth: linear functions of each dimension can be computed one after the
// other. The other modes are sums of rows with weights, one dimension after the other.
#include <algorithm>
#include <cmath>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/mix.h>
#include <karyon/core/kernels/resize.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/pool1d.h>
#include <karyon/core/ops/pool3d.h>
#include <karyon/core/ops/resize.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

using enum InterpolateMode;

// A mode's name, the dimensions of images that it takes (0: 3 to 5), and whether it has align_corners.
struct ModeTraits {
  const char* name;
  int dims;
  bool aligns;
};
ModeTraits traits_of(InterpolateMode mode) {
  switch (mode) {
    case bilinear: return {"bilinear", 4, true};
    case linear: return {"linear", 3, true};
    case trilinear: return {"trilinear", 5, true};
    case bicubic: return {"bicubic", 4, true};
    case nearest_exact: return {"nearest_exact", 0, false};
    case area: return {"area", 0, false};
    case nearest: break;
  }
  return {"nearest", 0, false};
}

void check_arguments(const Tensor& x, const Shape& size, const InterpolateOptions& options) {
  const auto [name, dims, aligns] = traits_of(options.mode);
  check(x.dim() >= 3 && x.dim() <= 5, "interpolate: expects [N, ..., C] of 3 to 5 dimensions, got ",
        x.shape());
  check_computed("interpolate", x);
  check(dims == 0 || x.dim() == dims, "interpolate: ", name, " expects ", dims, " dimensions, got ",
        x.shape());
  check(size.dims() == x.dim() - 2, "interpolate: expects ", x.dim() - 2, " sizes for ", x.shape(), ", got ",
        size);
  for (int d = 0; d < size.dims(); ++d)
    check(size[d] >= 1 && x.size(d + 1) >= 1,
          "interpolate: expects images and a size of at least one pixel, got ", x.shape(), " and ", size);
  check(!options.align_corners || aligns,
        "interpolate: align_corners expects linear, bilinear, bicubic or trilinear, got ", name);
  check(!options.antialias || options.mode == bilinear || options.mode == bicubic,
        "interpolate: antialias expects bilinear or bicubic, got ", name);
}

Shape resized(const Shape& x, const Shape& size) {
  Shape shape{x[0]};
  for (const std::int64_t n : size) shape.push_back(n);
  shape.push_back(x[x.dims() - 1]);
  return shape;
}

// ---- nearest and linear ----

Tensor resize_images(const Tensor& x, Pair size, const InterpolateOptions& options);

// The gradient of resize_images() in x of shape `before`; its own is resize_images() again.
Tensor interpolate_gradient(const Tensor& dy, const Shape& before, const InterpolateOptions& options) {
  Tensor dx = empty(before, {.dtype = dy.dtype(), .device = dy.device()});
  if (dx.numel() > 0) kernels::interpolate_backward(dy, dx, options);
  return record("interpolate", dx, {dy}, twice_differentiable,
                [options, size = Pair{dy.size(1), dy.size(2)}](const Tensor& ddx) {
                  return std::vector{resize_images(ddx, size, options)};
                });
}

Tensor resize_images(const Tensor& x, Pair size, const InterpolateOptions& options) {
  Tensor y = empty({x.size(0), size.h, size.w, x.size(3)}, {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() > 0) kernels::interpolate(x, y, options);  // its time grows with the size, whatever x holds
  return record("interpolate", y, {x}, twice_differentiable, [options, before = x.shape()](const Tensor& dy) {
    return std::vector{interpolate_gradient(dy, before, options)};
  });
}

Tensor resize_by_images(const Tensor& x, const Shape& size, InterpolateOptions options) {
  if (options.mode != nearest) options.mode = bilinear;
  if (x.dim() == 4) return resize_images(x, {size[0], size[1]}, options);
  const Shape shape = resized(x.shape(), size);
  const std::int64_t n = x.size(0), c = x.size(-1);
  if (x.dim() == 3)
    return resize_images(x.reshape({n, 1, x.size(1), c}), {1, size[0]}, options).reshape(shape);
  const std::int64_t d = x.size(1);
  const Tensor wide = options.mode == nearest ? x : widen(x);
  const Tensor frames =
      resize_images(wide.reshape({n * d, x.size(2), x.size(3), c}), {size[1], size[2]}, options);
  return resize_images(frames.reshape({n, d, 1, frames.numel() == 0 ? 0 : size[1] * size[2] * c}),
                       {size[0], 1}, options)
      .reshape(shape)
      .to(x.dtype());
}

// ---- sums of rows ----

// Keys (1981): the weight of a value at a distance of `x`.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

double scale_of(std::int64_t in, std::int64_t out, bool align_corners) {
  if (!align_corners) return static_cast<double>(in) / static_cast<double>(out);
  return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
}

// Four neighbours; those beyond the edge are the edge.
RowMix bicubic_mix(std::int64_t in, std::int64_t out, bool align_corners) {
  RowMix mix(in);
  const double scale = scale_of(in, out, align_corners);
  for (std::int64_t o = 0; o < out; ++o, mix.next()) {
    const auto i = static_cast<double>(o);
    const double at = align_corners ? scale * i : scale * (i + 0.5) - 0.5, low = std::floor(at);
    for (int k = -1; k <= 2; ++k)
      mix.add(std::clamp<std::int64_t>(static_cast<std::int64_t>(low) + k, 0, in - 1),
              cubic(at - low - k, -0.75));
  }
  return mix;
}

// A filter as wide as the step between outputs, if that is more than a pixel. Its weights add up to 1.
RowMix antialiased_mix(std::int64_t in, std::int64_t out, const InterpolateOptions& options) {
  RowMix mix(in);
  const double scale = scale_of(in, out, options.align_corners), width = std::max(scale, 1.0);
  const double reach = (options.mode == bicubic ? 2 : 1) * width;
  for (std::int64_t o = 0; o < out; ++o, mix.next()) {
    const double centre = scale * (static_cast<double>(o) + 0.5);
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(centre - reach + 0.5), 0),
               last = std::min(static_cast<std::int64_t>(centre + reach + 0.5), in);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t i = first; i < last; ++i) {
      const double x = (static_cast<double>(i) - centre + 0.5) / width;
      weights.push_back(options.mode == bicubic ? cubic(x, -0.5) : std::max(0.0, 1 - std::abs(x)));
      sum += weights.back();
    }
    for (std::size_t i = 0; i < weights.size(); ++i)
      mix.add(first + static_cast<std::int64_t>(i), sum == 0 ? weights[i] : weights[i] / sum);
  }
  return mix;
}

RowMix nearest_exact_mix(std::int64_t in, std::int64_t out) {
  RowMix mix(in);
  // PyTorch rounds in float, and rounding decides between neighbours.
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (std::int64_t o = 0; o < out; ++o, mix.next())
    mix.add(std::min(static_cast<std::int64_t>(std::floor((static_cast<float>(o) + 0.5f) * scale)), in - 1),
            1);
  return mix;
}

Tensor resize_by_rows(const Tensor& x, const Shape& size, const InterpolateOptions& options) {
  Tensor y = widen(x);
  for (int d = 0; d < size.dims(); ++d) {
    const std::int64_t in = x.size(d + 1), out = size[d];
    const RowMix mix = options.antialias         ? antialiased_mix(in, out, options)
                       : options.mode == bicubic ? bicubic_mix(in, out, options.align_corners)
                                                 : nearest_exact_mix(in, out);
    y = mix.of("interpolate", y, d + 1);
  }
  return y.to(x.dtype());
}

Tensor resize_by_area(const Tensor& x, const Shape& size) {
  if (x.dim() == 3) return adaptive_avg_pool1d(x, size[0]);
  if (x.dim() == 4) return adaptive_avg_pool2d(x, {size[0], size[1]});
  return adaptive_avg_pool3d(x, {size[0], size[1], size[2]});
}

}  // namespace

Tensor interpolate(const Tensor& x, const Shape& size, const InterpolateOptions& options) {
  check_arguments(x, size, options);
  if (options.mode == area) return resize_by_area(x, size);
  const bool by_rows = options.antialias || options.mode == bicubic || options.mode == nearest_exact;
  if (by_rows &&
      resized(x.shape(), size).numel() == 0)  // the weights of a size take memory, whatever x holds
    return resize_by_images(x, size, {});
  return traced_whole(
      "interpolate", {x},
      [&] { return by_rows ? resize_by_rows(x, size, options) : resize_by_images(x, size, options); },
      [&] {
        const char* const name = options.mode == nearest         ? "nearest"
                                 : options.mode == nearest_exact ? "nearest-exact"
                                 : options.mode == bicubic       ? "bicubic"
                                                                 : "linear";
        return TraceOptions{{"mode", name},
                            {"align_corners", options.align_corners ? 1 : 0},
                            {"antialias", options.antialias ? 1 : 0}};
      });
}

}  // namespace karyon
