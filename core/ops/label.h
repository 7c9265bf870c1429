#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

struct LabelOptions {
  int connectivity = 4;  ///< pixels that touch by their sides (4), or also by their corners (8)
};

/// Connected components of each image, as scipy.ndimage.label: 0 outside the mask, else the number of the
/// component. Components are numbered from 1 in the order of their first pixels, row by row.
///   mask     [H, W] or [N, H, W], bool
///   returns  mask's shape, i64; max() of it is the number of components
/// Not differentiable; computed by the CPU. Throws Error for another dtype, shape or connectivity.
Tensor label(const Tensor& mask, const LabelOptions& options = {});

}  // namespace karyon
