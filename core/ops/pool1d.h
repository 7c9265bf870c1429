#pragma once
#include <optional>

#include <karyon/core/tensor.h>

// Pools of sequences [N, L, C], as those of images with a height of 1: see pool.h.
namespace karyon {

struct MaxPool1dOptions {
  std::int64_t kernel_size = 2;
  std::optional<std::int64_t> stride = {};  ///< kernel_size if not given
  std::int64_t padding = 0;                 ///< at most half the kernel
  std::int64_t dilation = 1;
  bool ceil_mode = false;  ///< as in MaxPool2dOptions
};

/// max_pool2d of sequences, as torch.nn.functional.max_pool1d.
///   x        [N, L, C]
///   returns  [N, L_out, C], L_out as max_pool2d's sizes
/// Dtypes, gradient and errors as max_pool2d.
Tensor max_pool1d(const Tensor& x, const MaxPool1dOptions& options = {});

struct AvgPool1dOptions {
  std::int64_t kernel_size = 2;
  std::optional<std::int64_t> stride = {};  ///< kernel_size if not given
  std::int64_t padding = 0;                 ///< at most half the kernel
  bool count_include_pad = true;            ///< padding counts in the mean
  bool ceil_mode = false;                   ///< as in AvgPool2dOptions
};

/// avg_pool2d of sequences, as torch.nn.functional.avg_pool1d.
///   x        [N, L, C]
///   returns  [N, L_out, C]
/// Dtypes, gradient and errors as avg_pool2d.
Tensor avg_pool1d(const Tensor& x, const AvgPool1dOptions& options = {});

/// adaptive_avg_pool2d of sequences.
///   x        [N, L, C]
///   returns  [N, output_size, C]
/// Dtypes, gradient and errors as adaptive_avg_pool2d.
Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_size);

}  // namespace karyon
