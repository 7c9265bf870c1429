#pragma once
#include <karyon/core/ops/pool1d.h>
#include <karyon/layers/module.h>

namespace karyon {

/// max_pool1d: [N, L, C] -> [N, L_out, C].
struct MaxPool1d : Module {
  using Options = MaxPool1dOptions;
  explicit MaxPool1d(const Options& options = {}) : options_(options) {}
  explicit MaxPool1d(std::int64_t kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return max_pool1d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<MaxPool1d>(options_); }

 private:
  Options options_;
};

/// avg_pool1d: [N, L, C] -> [N, L_out, C].
struct AvgPool1d : Module {
  using Options = AvgPool1dOptions;
  explicit AvgPool1d(const Options& options = {}) : options_(options) {}
  explicit AvgPool1d(std::int64_t kernel_size) : options_{.kernel_size = kernel_size} {}
  Tensor forward(Tensor x) override { return avg_pool1d(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<AvgPool1d>(options_); }

 private:
  Options options_;
};

/// adaptive_avg_pool1d: [N, L, C] -> [N, output_size, C].
struct AdaptiveAvgPool1d : Module {
  explicit AdaptiveAvgPool1d(std::int64_t output_size) : output_size_(output_size) {}
  Tensor forward(Tensor x) override { return adaptive_avg_pool1d(x, output_size_); }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<AdaptiveAvgPool1d>(output_size_);
  }

 private:
  std::int64_t output_size_;
};

}  // namespace karyon
