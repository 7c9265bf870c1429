#pragma once
#include <karyon/layers/conv.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>
#include <karyon/models/backbone.h>

namespace karyon {

struct ResNetOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::array<std::int64_t, 4> layers{2, 2, 2, 2};  ///< blocks of each size
  bool bottleneck = false;                         ///< blocks of 1x1, 3x3 and 1x1, not of two 3x3
  std::int64_t groups = 1, width_per_group = 64;   ///< of the 3x3 in bottlenecks
  /// Dilation in the place of the stride of layer2, layer3 and layer4: their features are larger.
  std::array<bool, 3> replace_stride_with_dilation{};
};

/// ResNet (He et al., 2016), with the stride in the 3x3 of bottlenecks, as torchvision has it. Also ResNeXt
/// (Xie et al., 2017) by `groups`, and wide ones (Zagoruyko and Komodakis, 2016) by `width_per_group`:
///
///     ResNet net(resnet50());
///     load_weights(net, "resnet50-11ad3fa6.pth");
///
///   conv1, bn1                 7x7 with stride 2, and a 3x3 max pool with stride 2
///   layer1.0 ... layer4.N      blocks: conv1, bn1, conv2, bn2(, conv3, bn3)(, downsample.0, downsample.1)
///   fc                         logits
struct ResNet : Backbone {
  using Options = ResNetOptions;

  explicit ResNet(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Conv2d conv1;
  BatchNorm2d bn1;
  Sequential layer1, layer2, layer3, layer4;
  std::unique_ptr<Linear> fc;  // null without classes

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;
};

/// Options of the networks that have a name.
ResNetOptions resnet18();
ResNetOptions resnet34();
ResNetOptions resnet50();
ResNetOptions resnet101();
ResNetOptions resnext50_32x4d();
ResNetOptions resnext101_32x8d();
ResNetOptions wide_resnet50_2();

}  // namespace karyon
