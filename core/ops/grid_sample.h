#pragma once
#include <karyon/core/tensor.h>

namespace karyon {

enum class GridSampleMode { bilinear, nearest };
/// What lies beyond the edge: zeros, the edge, or the image mirrored.
enum class GridPadding { zeros, border, reflection };

struct GridSampleOptions {
  GridSampleMode mode = GridSampleMode::bilinear;
  GridPadding padding = GridPadding::zeros;
  bool align_corners = false;  ///< -1 and 1 are the centres of the corner pixels, not their outer edges
};

/// The values of images at any places, as torch.nn.functional.grid_sample (with channels last).
///   x        [N, H, W, C] or [N, D, H, W, C]
///   grid     [N, H_out, W_out, 2] or [N, D_out, H_out, W_out, 3]: (x, y) or (x, y, z), from -1 to 1
///   returns  [N, H_out, W_out, C] or [N, D_out, H_out, W_out, C]
/// f32, f64 or bf16 (computed in f32), both the same; beside a bf16 x the grid may be f32. Differentiable in x
/// and grid; `nearest` has a gradient of 0 in the grid. A NaN in the grid reads zeros, or the first pixel where
/// the padding is not zeros. Throws Error for shapes that do not fit and an image of no pixels.
Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options = {});

struct AffineGridOptions {
  bool align_corners = false;  ///< as in GridSampleOptions
};

/// The grid of an affine map for grid_sample, as torch.nn.functional.affine_grid.
///   theta    [N, 2, 3] or [N, 3, 4]: maps (x, y, 1) or (x, y, z, 1) of the output to the input
///   size     of the output: {H, W} or {D, H, W}
///   returns  [N, H, W, 2] or [N, D, H, W, 3]
/// f32, f64 or bf16 (computed in f32). Differentiable in theta. Throws Error for other shapes and an empty
/// size.
Tensor affine_grid(const Tensor& theta, const Shape& size, const AffineGridOptions& options = {});

}  // namespace karyon
