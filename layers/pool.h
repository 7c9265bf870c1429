#pragma once
#include <karyon/core/ops/pool.h>
#include <karyon/layers/module.h>

namespace karyon {

/// max_pool2d: [N, H, W, C] -> [N, H_out, W_out, C]. `MaxPool2d(2)` halves the size.
struct MaxPool2d : Module {
  using Options = MaxPool2dOptions;
  explicit MaxPool2d(const Options& options = {}) : options_(options) {}
  explicit MaxPool2d(Pair kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return max_pool2d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<MaxPool2d>(options_); }

 private:
  Options options_;
};

/// avg_pool2d: [N, H, W, C] -> [N, H_out, W_out, C].
struct AvgPool2d : Module {
  using Options = AvgPool2dOptions;
  explicit AvgPool2d(const Options& options = {}) : options_(options) {}
  explicit AvgPool2d(Pair kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return avg_pool2d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<AvgPool2d>(options_); }

 private:
  Options options_;
};

/// adaptive_avg_pool2d: [N, H, W, C] -> [N, output_size.h, output_size.w, C]. `AdaptiveAvgPool2d(1)` is the
/// mean of each image.
struct AdaptiveAvgPool2d : Module {
  explicit AdaptiveAvgPool2d(Pair output_size) : output_size_(output_size) {}
  Tensor forward(Tensor x) override { return adaptive_avg_pool2d(x, output_size_); }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<AdaptiveAvgPool2d>(output_size_);
  }

 private:
  Pair output_size_;
};

}  // namespace karyon
