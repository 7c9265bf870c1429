#pragma once
#include <optional>

#include <karyon/core/tensor.h>
#include <karyon/core/triple.h>

// Pools of volumes [N, D, H, W, C].
namespace karyon {

struct MaxPool3dOptions {
  Triple kernel_size = 2;
  std::optional<Triple> stride = {};  ///< kernel_size if not given
  Triple padding = 0;                 ///< at most half the kernel
  Triple dilation = 1;
  bool ceil_mode = false;  ///< as in MaxPool2dOptions
};

/// The largest value of each window, as torch.nn.functional.max_pool3d.
///   x        [N, D, H, W, C]
///   returns  [N, D_out, H_out, W_out, C], sizes as max_pool2d's
/// A NaN in a window wins. f32, f64 or bf16. Differentiable in x: the first of equal values gets the
/// gradient. Throws Error as max_pool2d.
Tensor max_pool3d(const Tensor& x, const MaxPool3dOptions& options = {});

struct AvgPool3dOptions {
  Triple kernel_size = 2;
  std::optional<Triple> stride = {};  ///< kernel_size if not given
  Triple padding = 0;                 ///< at most half the kernel
  bool count_include_pad = true;      ///< padding counts in the mean
  bool ceil_mode = false;             ///< as in AvgPool2dOptions
};

/// The mean of each window, as torch.nn.functional.avg_pool3d.
///   x        [N, D, H, W, C]
///   returns  [N, D_out, H_out, W_out, C]
/// f32, f64 or bf16 (summed in f32). Differentiable in x. Throws Error as avg_pool2d.
Tensor avg_pool3d(const Tensor& x, const AvgPool3dOptions& options = {});

/// adaptive_avg_pool2d of volumes.
///   x        [N, D, H, W, C]
///   returns  [N, output.d, output.h, output.w, C]
/// f32, f64 or bf16 (summed in f32). Differentiable in x. Throws Error for an empty volume or output.
Tensor adaptive_avg_pool3d(const Tensor& x, const Triple& output_size);

}  // namespace karyon
