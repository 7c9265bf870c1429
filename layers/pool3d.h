#pragma once
#include <karyon/core/ops/pool3d.h>
#include <karyon/layers/module.h>

namespace karyon {

/// max_pool3d: [N, D, H, W, C] -> [N, D_out, H_out, W_out, C].
struct MaxPool3d : Module {
  using Options = MaxPool3dOptions;
  explicit MaxPool3d(const Options& options = {}) : options_(options) {}
  explicit MaxPool3d(const Triple& kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return max_pool3d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<MaxPool3d>(options_); }

 private:
  Options options_;
};

/// avg_pool3d: [N, D, H, W, C] -> [N, D_out, H_out, W_out, C].
struct AvgPool3d : Module {
  using Options = AvgPool3dOptions;
  explicit AvgPool3d(const Options& options = {}) : options_(options) {}
  explicit AvgPool3d(const Triple& kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return avg_pool3d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<AvgPool3d>(options_); }

 private:
  Options options_;
};

/// adaptive_avg_pool3d: [N, D, H, W, C] -> [N, output_size.d, output_size.h, output_size.w, C].
struct AdaptiveAvgPool3d : Module {
  explicit AdaptiveAvgPool3d(const Triple& output_size) : output_size_(output_size) {}
  Tensor forward(Tensor x) override { return adaptive_avg_pool3d(x, output_size_); }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<AdaptiveAvgPool3d>(output_size_);
  }

 private:
  Triple output_size_;
};

}  // namespace karyon
