#pragma once
#include <karyon/layers/linear.h>
#include <karyon/layers/sequential.h>
#include <karyon/models/backbone.h>

namespace karyon {

struct ShuffleNetV2Options {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 5> channels{24, 116, 232, 464, 1024};  ///< of conv1, the stages and conv5
};

/// ShuffleNetV2 (Ma et al., 2018).
///
///   conv1                       3x3 with stride 2, and a 3x3 max pool with stride 2
///   stage2.0 ... stage4.N       branch1, branch2; their channels are mixed
///   conv5, fc                   1x1, logits
struct ShuffleNetV2 : Backbone {
  using Options = ShuffleNetV2Options;

  explicit ShuffleNetV2(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential conv1, stage2, stage3, stage4, conv5;
  std::unique_ptr<Linear> fc;  // null without classes

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

ShuffleNetV2Options shufflenet_v2_x0_5();
ShuffleNetV2Options shufflenet_v2_x1_0();
ShuffleNetV2Options shufflenet_v2_x1_5();
ShuffleNetV2Options shufflenet_v2_x2_0();

}  // namespace karyon
