#pragma once
#include <karyon/layers/linear.h>
#include <karyon/models/backbone.h>
#include <karyon/models/parts.h>

namespace karyon {

struct DenseNetOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 4> blocks{6, 12, 24, 16};  ///< layers of each dense block
  std::int64_t growth_rate = 32, init_features = 64;  ///< channels that a layer adds, and at first
  double dropout = 0;                                 ///< after each layer
};

/// DenseNet-BC (Huang et al., 2017). Its features are those before a transition to half the size, after its
/// norm and ReLU.
///
///   features.conv0, .norm0             7x7 with stride 2, and a 3x3 max pool with stride 2
///   features.denseblockB.denselayerL   norm1, conv1 (1x1), norm2, conv2 (3x3)
///   features.transitionB               norm, conv, and a 2x2 mean
///   features.norm5, classifier         logits
struct DenseNet : Backbone {
  using Options = DenseNetOptions;

  explicit DenseNet(const Options& options = {});
  ~DenseNet() override;
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Conv2d conv0;
  BatchNorm2d norm0;
  std::unique_ptr<BatchNorm2d> norm5;
  std::unique_ptr<Linear> classifier;  // null without classes

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;

 private:
  struct Layer;
  struct Transition;
  ModuleNames features_;
  std::array<NamedSequence, 4> blocks_;
  std::vector<std::unique_ptr<Transition>> transitions_;
  std::array<std::int64_t, 5> channels_{};
};

DenseNetOptions densenet121();
DenseNetOptions densenet161();
DenseNetOptions densenet169();
DenseNetOptions densenet201();

}  // namespace karyon
