#pragma once
#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/grid_sample.h>

namespace karyon::kernels {

// Volumes [N, D, H, W, C] and grids [N, D_out, H_out, W_out, 3]; images have a depth of 1 and grids [N, 1, H_out,
// W_out, 2]. f32 or f64.

extern Kernel<void(const Tensor& x, const Tensor& grid, const GridSampleOptions& options, Tensor& y)>
    grid_sample;
/// dx, which is zeros, += what each output read, in the order of the outputs.
extern Kernel<void(const Tensor& dy, const Tensor& grid, const GridSampleOptions& options, Tensor& dx)>
    grid_sample_backward_data;
extern Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& grid, const GridSampleOptions& options,
                   Tensor& dgrid)>
    grid_sample_backward_grid;

}  // namespace karyon::kernels
