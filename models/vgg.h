#pragma once
#include <karyon/models/backbone.h>
#include <karyon/models/parts.h>

namespace karyon {

struct VGGOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 5> convolutions{2, 2, 3, 3, 3};  ///< of each size
  bool batch_norm = false;
  double dropout = 0.5;
};

/// VGG (Simonyan and Zisserman, 2015): 3x3 convolutions and max pools. Its features of stride 16 and less are
/// those before a pool.
///
///   features.N                   convolutions, norms, ReLUs and pools
///   classifier.0, .3, .6         linear layers, over 7x7 means
struct VGG : Backbone {
  using Options = VGGOptions;

  explicit VGG(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Sequential classifier;

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;

 private:
  std::array<Sequential, 5> blocks_;  // between the pools
  ModuleNames features_;
};

VGGOptions vgg11();
VGGOptions vgg13();
VGGOptions vgg16();
VGGOptions vgg19();

}  // namespace karyon
