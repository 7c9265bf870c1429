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
/// f32, f64 or bf16 (computed in f32). Differentiable in x. Throws Error for an empty size or image.
Tensor interpolate(const Tensor& x, Pair size, const InterpolateOptions& options = {});

namespace kernels {

// f32, f64 or bf16, which is added up in f32 and rounded once.
extern Kernel<void(const Tensor& x, Tensor& y, const InterpolateOptions& options)> interpolate;
extern Kernel<void(const Tensor& dy, Tensor& dx, const InterpolateOptions& options)> interpolate_backward;

}  // namespace kernels
}  // namespace karyon
