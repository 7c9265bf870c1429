#include <functional>
#include <map>

#include <karyon/models/backbones.h>
#include <karyon/models/convnext.h>
#include <karyon/models/densenet.h>
#include <karyon/models/efficientnet.h>
#include <karyon/models/mobilenet.h>
#include <karyon/models/regnet.h>
#include <karyon/models/resnet.h>
#include <karyon/models/shufflenet.h>
#include <karyon/models/vgg.h>

namespace karyon {
namespace {

using Make = std::function<std::unique_ptr<Backbone>(const MakeBackboneOptions&)>;

template <class Network>
Make maker(typename Network::Options options) {
  return [options](const MakeBackboneOptions& o) {
    auto own = options;
    own.num_classes = o.num_classes;
    own.in_channels = o.in_channels;
    return std::make_unique<Network>(own);
  };
}

VGGOptions with_norms(VGGOptions o) {
  o.batch_norm = true;
  return o;
}

const std::map<std::string, Make>& makers() {
  static const std::map<std::string, Make> all = [] {
    std::map<std::string, Make> m{{"convnext_base", maker<ConvNeXt>(convnext_base())},
                                  {"convnext_small", maker<ConvNeXt>(convnext_small())},
                                  {"convnext_tiny", maker<ConvNeXt>(convnext_tiny())},
                                  {"densenet121", maker<DenseNet>(densenet121())},
                                  {"densenet161", maker<DenseNet>(densenet161())},
                                  {"densenet169", maker<DenseNet>(densenet169())},
                                  {"densenet201", maker<DenseNet>(densenet201())},
                                  {"mobilenet_v2", maker<MobileNetV2>({})},
                                  {"mobilenet_v3_large", maker<MobileNetV3>(mobilenet_v3_large())},
                                  {"mobilenet_v3_small", maker<MobileNetV3>(mobilenet_v3_small())},
                                  {"regnet_x_400mf", maker<RegNet>(regnet_x_400mf())},
                                  {"regnet_y_1_6gf", maker<RegNet>(regnet_y_1_6gf())},
                                  {"regnet_y_400mf", maker<RegNet>(regnet_y_400mf())},
                                  {"regnet_y_800mf", maker<RegNet>(regnet_y_800mf())},
                                  {"resnet101", maker<ResNet>(resnet101())},
                                  {"resnet18", maker<ResNet>(resnet18())},
                                  {"resnet34", maker<ResNet>(resnet34())},
                                  {"resnet50", maker<ResNet>(resnet50())},
                                  {"resnext101_32x8d", maker<ResNet>(resnext101_32x8d())},
                                  {"resnext50_32x4d", maker<ResNet>(resnext50_32x4d())},
                                  {"shufflenet_v2_x0_5", maker<ShuffleNetV2>(shufflenet_v2_x0_5())},
                                  {"shufflenet_v2_x1_0", maker<ShuffleNetV2>(shufflenet_v2_x1_0())},
                                  {"shufflenet_v2_x1_5", maker<ShuffleNetV2>(shufflenet_v2_x1_5())},
                                  {"shufflenet_v2_x2_0", maker<ShuffleNetV2>(shufflenet_v2_x2_0())},
                                  {"wide_resnet50_2", maker<ResNet>(wide_resnet50_2())}};
    for (int b = 0; b < 8; ++b)
      m.emplace("efficientnet_b" + std::to_string(b), maker<EfficientNet>(efficientnet_b(b)));
    for (const auto& [name, options] : {std::pair{"vgg11", vgg11()}, std::pair{"vgg13", vgg13()},
                                        std::pair{"vgg16", vgg16()}, std::pair{"vgg19", vgg19()}}) {
      m.emplace(name, maker<VGG>(options));
      m.emplace(std::string(name) + "_bn", maker<VGG>(with_norms(options)));
    }
    return m;
  }();
  return all;
}

}  // namespace

std::unique_ptr<Backbone> make_backbone(const std::string& name, const MakeBackboneOptions& options) {
  const auto it = makers().find(name);
  if (it != makers().end()) return it->second(options);
  std::string names;
  for (const std::string& known : backbone_names()) names += (names.empty() ? "" : ", ") + known;
  throw Error("make_backbone: expects one of " + names + ", got '" + name + "'");
}

std::vector<std::string> backbone_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : makers()) names.push_back(name);
  return names;
}

}  // namespace karyon
