#pragma once
#include <concepts>

#include <karyon/core/tensor.h>

namespace karyon {

/// `linear` is for sequences, `bilinear` and `bicubic` are for images, `trilinear` is for volumes, the others
/// for all of them. `nearest` rounds down where it looks, as PyTorch's "nearest"; `nearest_exact` takes the
/// centre that is nearest. `area` is the mean, as adaptive_avg_pool2d.
enum class InterpolateMode { nearest, bilinear, linear, trilinear, bicubic, nearest_exact, area };

struct InterpolateOptions {
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;  ///< corner pixels keep their values; not for nearest, nearest_exact and area
  bool antialias = false;      ///< smooths before it shrinks; for bilinear and bicubic
};

/// Resampling to a given size, as torch.nn.functional.interpolate(size=...) with channels last.
///   x        [N, L, C], [N, H, W, C] or [N, D, H, W, C]
///   size     of each dimension between the first and the last
///   returns  [N, size..., C]
/// f32, f64 or bf16 (computed in f32). Differentiable in x. Throws Error for an empty size or image, and for
/// options that the mode does not have.
Tensor interpolate(const Tensor& x, const Shape& size, const InterpolateOptions& options = {});
/// The same for images.
template <std::same_as<Pair> P>
Tensor interpolate(const Tensor& x, P size, const InterpolateOptions& options = {}) {
  return interpolate(x, Shape{size.h, size.w}, options);
}
/// The same size in all dimensions.
template <std::integral T>
Tensor interpolate(const Tensor& x, T size, const InterpolateOptions& options = {}) {
  Shape sizes;
  for (int d = 2; d < x.dim(); ++d) sizes.push_back(static_cast<std::int64_t>(size));
  return interpolate(x, sizes, options);
}

}  // namespace karyon
