#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

enum class InterpolateMode { nearest, bilinear };

struct InterpolateOptions {
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;  ///< bilinear only: corner pixels keep their values
};

/// Resampling to a given size, as torch.nn.functional.interpolate(size=...) with channels last.
///   x        [N, H, W, C]
///   returns  [N, size.h, size.w, C]
/// f32, f64 or bf16 (computed in f32). Differentiable in x. Throws Error for an empty size or image.
Tensor interpolate(const Tensor& x, Pair size, const InterpolateOptions& options = {});

}  // namespace karyon
