#pragma once
#include <karyon/core/kernel.h>

namespace karyon {

enum class InterpolateMode { nearest, bilinear };

struct InterpolateOptions {
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;  ///< bilinear only: corner pixels keep their values
};

/// Resampling to a given size, as torch.nn.functional.interpolate(size=...) with channels last.
///   x        [N, H, W, C]
///   returns  [N, size.h, size.w, C]
/// f32 or f64. Differentiable in x. Throws Error for an empty size.
Tensor interpolate(const Tensor& x, Pair size, const InterpolateOptions& options = {});

}  // namespace karyon
