#pragma once
#include <karyon/core/ops/resize.h>
#include <karyon/layers/module.h>

namespace karyon {

/// interpolate to `scale` times the size.
struct Upsample : Module {
  using Options = InterpolateOptions;
  explicit Upsample(Pair factor, const Options& o = {}) : scale(factor), options(o) {
    check(scale.h >= 1 && scale.w >= 1, "Upsample: expects a scale of 1 or more, got ", scale);
  }
  Tensor forward(Tensor x) override {
    check(x.dim() == 4, "Upsample: expects [N, H, W, C], got ", x.shape());
    return interpolate(x, {x.size(1) * scale.h, x.size(2) * scale.w}, options);
  }

  Pair scale;
  Options options;
};

}  // namespace karyon
