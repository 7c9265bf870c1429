#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

struct UnfoldOptions {
  Pair kernel_size = 1;
  Pair stride = 1;
  Pair padding = 0;
  Pair dilation = 1;
};

/// The values under each position of a sliding window, as torch.nn.functional.unfold (with channels last).
///   x        [N, H, W, C]
///   returns  [N, L, C kH kW]: L positions, row by row; in each the channels, and in those the window's rows
/// Any dtype; differentiable where it is floating. Throws Error if the window does not fit.
Tensor unfold(const Tensor& x, const UnfoldOptions& options);

/// The transpose of unfold: values of windows added up where they overlap, as torch.nn.functional.fold.
///   x        [N, L, C kH kW]
///   returns  [N, output_size.h, output_size.w, C]
/// f32, f64 or bf16 (added in f32). Differentiable in x. Throws Error unless there are as many windows and
/// channels as the options say.
Tensor fold(const Tensor& x, Pair output_size, const UnfoldOptions& options);

}  // namespace karyon
