#pragma once
#include <karyon/core/ops/resize.h>
#include <karyon/layers/module.h>

namespace karyon {

/// interpolate to `scale_factor` times the size: [N, H, W, C] -> [N, scale_factor.h H, scale_factor.w W, C].
/// Throws Error for a factor below 1.
struct Upsample : Module {
  using Options = InterpolateOptions;
  explicit Upsample(Pair scale_factor, const Options& options = {})
      : scale_factor_(scale_factor), options_(options) {
    check(scale_factor.h >= 1 && scale_factor.w >= 1, "Upsample: expects a scale_factor of 1 or more, got ",
          scale_factor);
  }
  Tensor forward(Tensor x) override {
    check(x.dim() == 4, "Upsample: expects [N, H, W, C], got ", x.shape());
    return interpolate(x,
                       {checked_mul(x.size(1), scale_factor_.h, "Upsample"),
                        checked_mul(x.size(2), scale_factor_.w, "Upsample")},
                       options_);
  }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<Upsample>(scale_factor_, options_);
  }

 private:
  Pair scale_factor_;
  Options options_;
};

}  // namespace karyon
