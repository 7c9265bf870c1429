#pragma once
#include <karyon/core/ops/pool.h>
#include <karyon/layers/module.h>

namespace karyon {

/// max_pool2d; `MaxPool2d(2)` halves the size.
struct MaxPool2d : Module {
  using Options = Pool2dOptions;
  explicit MaxPool2d(const Options& o = {}) : options(o) {}
  explicit MaxPool2d(Pair kernel_size) : options{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return max_pool2d(x, options); }

  Options options;
};

/// avg_pool2d.
struct AvgPool2d : Module {
  using Options = Pool2dOptions;
  explicit AvgPool2d(const Options& o = {}) : options(o) {}
  explicit AvgPool2d(Pair kernel_size) : options{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return avg_pool2d(x, options); }

  Options options;
};

/// adaptive_avg_pool2d; `AdaptiveAvgPool2d(1)` is the mean of each image.
struct AdaptiveAvgPool2d : Module {
  explicit AdaptiveAvgPool2d(Pair size) : output_size(size) {}
  Tensor forward(Tensor x) override { return adaptive_avg_pool2d(x, output_size); }

  Pair output_size;
};

}  // namespace karyon
