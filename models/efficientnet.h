#pragma once
#include <karyon/layers/sequential.h>
#include <karyon/models/backbone.h>

namespace karyon {

struct EfficientNetOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  double width_mult = 1, depth_mult = 1;  ///< scale the channels and the number of blocks
  double dropout = 0.2;                   ///< before the last layer
  double stochastic_depth = 0.2;          ///< of the last block; less before
  double eps = 1e-5, momentum = 0.1;      ///< of the norms
};

/// EfficientNet (Tan and Le, 2019).
///
///   features.0          3x3 with stride 2
///   features.1 ... 7    stages of inverted residuals: N.block.N
///   features.8          1x1
///   classifier.1        logits
struct EfficientNet : Backbone {
  using Options = EfficientNetOptions;

  explicit EfficientNet(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential layers;  ///< "features", which is a function here
  Sequential classifier;

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

/// Options of EfficientNet-B0 to B7. Throws Error for another number.
EfficientNetOptions efficientnet_b(int number);

}  // namespace karyon
