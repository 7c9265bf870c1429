#pragma once
#include <karyon/core/ops/resize.h>
#include <karyon/core/triple.h>
#include <karyon/layers/module.h>

namespace karyon {

/// interpolate to `scale_factor` times the size, which is one number for all dimensions of sequences, images and
/// volumes, a Pair for images or a Triple for volumes: [N, H, W, C] -> [N, scale_factor.h H, scale_factor.w W,
/// C]. Throws Error for a factor below 1.
struct Upsample : Module {
  using Options = InterpolateOptions;
  explicit Upsample(std::int64_t scale_factor, const Options& options = {})
      : Upsample(Factors{{scale_factor}}, options) {}
  explicit Upsample(Pair scale_factor, const Options& options = {})
      : Upsample(Factors{{scale_factor.h, scale_factor.w}}, options) {}
  explicit Upsample(const Triple& scale_factor, const Options& options = {})
      : Upsample(Factors{{scale_factor.d, scale_factor.h, scale_factor.w}}, options) {}
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override {
    return std::unique_ptr<Module>(new Upsample(factors_, options_));
  }

 private:
  // One for each dimension between the first and the last, or one for all.
  struct Factors {
    Shape of;
  };
  Upsample(const Factors& factors, const Options& options);

  Factors factors_;
  Options options_;
};

}  // namespace karyon
