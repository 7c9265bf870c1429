#pragma once
#include <karyon/layers/sequential.h>
#include <karyon/models/backbone.h>

namespace karyon {

struct MobileNetV2Options {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  double width_mult = 1;  ///< scales the channels, which stay multiples of 8
  double dropout = 0.2;   ///< before the last layer
};

/// MobileNetV2 (Sandler et al., 2018).
///
///   features.0          3x3 with stride 2
///   features.1 ... 17   inverted residuals: conv.N
///   features.18         1x1
///   classifier.1        logits
struct MobileNetV2 : Backbone {
  using Options = MobileNetV2Options;

  explicit MobileNetV2(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential layers;  ///< "features", which is a function here
  Sequential classifier;

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

struct MobileNetV3Options {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  bool small = false;    ///< the small network, not the large one
  double dropout = 0.2;  ///< before the last layer
};

/// MobileNetV3 (Howard et al., 2019), large or small.
///
///   features.0 ... N             3x3 with stride 2, inverted residuals (block.N), 1x1
///   classifier.0, classifier.3   logits
struct MobileNetV3 : Backbone {
  using Options = MobileNetV3Options;

  explicit MobileNetV3(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential layers;  ///< "features", which is a function here
  Sequential classifier;

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

MobileNetV3Options mobilenet_v3_large();
MobileNetV3Options mobilenet_v3_small();

}  // namespace karyon
