#pragma once
#include <karyon/layers/sequential.h>
#include <karyon/models/backbone.h>

namespace karyon {

struct ConvNeXtOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 4> channels{96, 192, 384, 768};
  std::array<std::int64_t, 4> blocks{3, 3, 9, 3};
  double stochastic_depth = 0.1;  ///< of the last block; less before
  double layer_scale = 1e-6;      ///< at first
};

/// ConvNeXt (Liu et al., 2022). It has no features of stride 2.
///
///   features.0            4x4 with stride 4, layer norm
///   features.1, 3, 5, 7   blocks: N.layer_scale, N.block.0 (7x7, depthwise), .2 (norm), .3, .5 (linear)
///   features.2, 4, 6      layer norm, 2x2 with stride 2
///   classifier.0, .2      layer norm, logits
struct ConvNeXt : Backbone {
  using Options = ConvNeXtOptions;

  explicit ConvNeXt(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential layers;  ///< "features", which is a function here
  Sequential classifier;

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

ConvNeXtOptions convnext_tiny();
ConvNeXtOptions convnext_small();
ConvNeXtOptions convnext_base();

}  // namespace karyon
