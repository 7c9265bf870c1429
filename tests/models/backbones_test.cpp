#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include <karyon/karyon.h>

#include "models/gradients.h"

using namespace karyon;
using Catch::Contains;
using test::check_gradients;

namespace {

// Statistics and norms that are not those of a new network.
void randomize(Module& network) {
  const NoGradGuard no_grad;
  Generator generator(3);
  for (auto& [name, module] : network.named_modules())
    if (auto* const norm = dynamic_cast<BatchNorm2d*>(module)) {
      uniform_(norm->running_var, 0.5, 1.5, generator);
      uniform_(norm->weight, 0.5, 1.5, generator);
      normal_(norm->running_mean, 0, 0.1, generator);
      normal_(norm->bias, 0, 0.1, generator);
    }
}

struct Watch : CallObserver {
  void called(const Module& module, const Shape&, const Tensor&) override {
    convolutions += module.type() == "Conv2d";
  }
  int convolutions = 0;
};

std::int64_t parameter_count(const Module& module) {
  std::int64_t count = 0;
  for (const Tensor& p : module.parameters()) count += p.numel();
  return count;
}

// The largest |a - b| relative to the largest |b|.
double relative(const Tensor& a, const Tensor& b) {
  return (a.to(f32) - b.to(f32)).abs().max().item<double>() / b.to(f32).abs().max().item<double>();
}

}  // namespace

TEST_CASE("backbones: as many parameters as torchvision's") {
  const auto [name, count] = GENERATE(table<std::string, std::int64_t>({{"resnet18", 11689512},
                                                                        {"resnet50", 25557032},
                                                                        {"resnext50_32x4d", 25028904},
                                                                        {"mobilenet_v2", 3504872},
                                                                        {"mobilenet_v3_large", 5483032},
                                                                        {"mobilenet_v3_small", 2542856},
                                                                        {"efficientnet_b0", 5288548},
                                                                        {"efficientnet_b3", 12233232},
                                                                        {"convnext_tiny", 28589128},
                                                                        {"regnet_y_400mf", 4344144},
                                                                        {"densenet121", 7978856},
                                                                        {"shufflenet_v2_x1_0", 2278604}}));
  INFO(name);
  CHECK(parameter_count(*make_backbone(name)) == count);
}

TEST_CASE("backbones: names are torchvision's") {
  const auto has = [](const char* network, std::initializer_list<const char*> names) {
    const StateDict state = make_backbone(network, {.num_classes = 3})->state_dict();
    for (const char* name : names) {
      INFO(network << ": " << name);
      CHECK(state.contains(name));
    }
  };
  has("resnet18",
      {"conv1.weight", "bn1.num_batches_tracked", "layer2.0.downsample.1.running_mean", "fc.bias"});
  has("mobilenet_v2",
      {"features.0.0.weight", "features.1.conv.1.weight", "features.18.1.bias", "classifier.1.weight"});
  has("mobilenet_v3_small", {"features.1.block.1.fc1.bias", "classifier.3.weight"});
  has("efficientnet_b0", {"features.6.3.block.2.fc2.weight", "features.8.0.weight", "classifier.1.bias"});
  has("convnext_tiny", {"features.0.1.weight", "features.5.8.layer_scale", "features.7.0.block.5.weight",
                        "classifier.2.weight"});
  has("regnet_y_400mf", {"stem.0.weight", "trunk_output.block3.block3-2.f.se.fc2.bias",
                         "trunk_output.block1.block1-0.proj.1.weight", "fc.weight"});
  has("densenet121", {"features.conv0.weight", "features.denseblock4.denselayer16.conv2.weight",
                      "features.transition3.norm.weight", "features.norm5.bias", "classifier.weight"});
  has("shufflenet_v2_x0_5", {"conv1.0.weight", "stage2.0.branch1.2.weight", "stage4.3.branch2.6.bias",
                             "conv5.1.weight", "fc.weight"});
  const StateDict vgg = make_backbone("vgg11", {.num_classes = 0})->state_dict();
  CHECK(vgg.contains("features.18.weight"));
  CHECK(vgg.size() == 16);
}

TEST_CASE("backbones: features have the sizes and channels that they say") {
  const auto name =
      GENERATE(values<std::string>({"resnet18", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_large",
                                    "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny",
                                    "regnet_y_400mf", "vgg11_bn", "densenet121", "shufflenet_v2_x1_0"}));
  INFO(name);
  const auto net = make_backbone(name, {.num_classes = 0, .in_channels = 2});
  net->eval();
  const NoGradGuard no_grad;
  Generator generator(1);
  const Tensor x = randn({1, 64, 96, 2}, generator);
  const std::vector<Tensor> features = net->features(x);
  REQUIRE(features.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    const std::int64_t stride = std::int64_t{2} << i, channels = net->feature_channels()[i];
    if (channels == 0) {
      CHECK_FALSE(features[i].defined());
    } else {
      CHECK(features[i].shape() == Shape{1, 64 / stride, 96 / stride, channels});
    }
  }
  CHECK_THROWS_WITH((*net)(x), Contains("has no classes"));
}

TEST_CASE("backbones: convolutions with all that follows them compute what the layers do, one by one") {
  struct Folded {
    std::string name;
    int calls, convolutions;
  };
  // Gates of squeeze-and-excitation end in a convolution before a sigmoid. In ConvNeXt and DenseNet no batch
  // norm follows most convolutions.
  const auto [name, calls, convolutions] = GENERATE(values<Folded>({{"resnet18", 20, 20},
                                                                    {"resnext50_32x4d", 53, 53},
                                                                    {"mobilenet_v2", 52, 52},
                                                                    {"mobilenet_v3_large", 54, 62},
                                                                    {"efficientnet_b0", 65, 81},
                                                                    {"convnext_tiny", 0, 22},
                                                                    {"regnet_y_400mf", 69, 85},
                                                                    {"densenet121", 59, 120},
                                                                    {"shufflenet_v2_x0_5", 56, 56}}));
  INFO(name);
  const DType dtype = GENERATE(f32, bf16);
  const auto net = make_backbone(name, {.num_classes = 7});
  randomize(*net);
  net->eval();
  Generator generator(2);
  const Tensor x = randn({2, 65, 64, 3}, generator);
  const NoGradGuard no_grad;
  const AutocastGuard autocast(dtype);
  const std::int64_t before = fused_conv_calls();
  const Tensor folded = (*net)(x);
  CHECK(fused_conv_calls() - before == calls);
  const Watch watch;
  const Tensor plain = (*net)(x);
  CHECK(watch.convolutions == convolutions);
  CHECK(folded.shape() == Shape{2, 7});
  CHECK(relative(folded, plain) < (dtype == f32 ? 1e-5 : 0.1));
}

TEST_CASE("backbones: gradients reach every parameter") {
  const auto make = GENERATE(
      as<std::function<std::unique_ptr<Backbone>()>>{},
      [] { return make_backbone("resnet18", {.num_classes = 3}); },
      [] { return make_backbone("resnext50_32x4d", {.num_classes = 3}); },
      [] { return std::make_unique<MobileNetV2>(MobileNetV2Options{.num_classes = 3, .dropout = 0}); },
      [] {
        return std::make_unique<MobileNetV3>(
            MobileNetV3Options{.num_classes = 3, .small = true, .dropout = 0});
      },
      [] {
        return std::make_unique<EfficientNet>(
            EfficientNetOptions{.num_classes = 3, .dropout = 0, .stochastic_depth = 0});
      },
      [] {
        return std::make_unique<ConvNeXt>(ConvNeXtOptions{
            .num_classes = 3, .blocks = {1, 1, 1, 1}, .stochastic_depth = 0, .layer_scale = 1});
      },
      [] { return make_backbone("regnet_y_400mf", {.num_classes = 3}); },
      [] {
        return std::make_unique<DenseNet>(DenseNetOptions{.num_classes = 3, .blocks = {2, 2, 2, 2}});
      },
      [] { return make_backbone("shufflenet_v2_x0_5", {.num_classes = 3}); });
  Generator generator(4);
  const GeneratorGuard guard(generator);
  const auto net = make();
  INFO(net->type());
  check_gradients(*net, randn({2, 64, 64, 3}, generator));
}

TEST_CASE("backbones: a clone computes the same") {
  const auto name = GENERATE(
      values<std::string>({"resnext50_32x4d", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny",
                           "regnet_y_400mf", "vgg11_bn", "densenet121", "shufflenet_v2_x0_5"}));
  INFO(name);
  const auto net = make_backbone(name, {.num_classes = name == "vgg11_bn" ? 0 : 4});
  const auto copy = clone(*net);
  net->eval();
  copy->eval();
  const NoGradGuard no_grad;
  const Tensor x = randn({1, 64, 64, 3});
  CHECK(copy->features(x)[4].to_vector<float>() == net->features(x)[4].to_vector<float>());
}

TEST_CASE("backbones: an initial value follows from the generator of a GeneratorGuard") {
  Generator first(5), second(5);
  const auto values = [](Generator& generator) {
    const GeneratorGuard guard(generator);
    return make_backbone("mobilenet_v2", {.num_classes = 2})->parameters().front().to_vector<float>();
  };
  CHECK(values(first) == values(second));
}

TEST_CASE("backbones: what cannot be built is an error that says so") {
  CHECK_THROWS_WITH(make_backbone("resnet19"), Contains("expects one of") && Contains("resnet18"));
  CHECK_THROWS_WITH(make_backbone("resnet18", {.in_channels = 0}), Contains("channel"));
  CHECK_THROWS_WITH(ResNet({.num_classes = -1}), Contains("ResNet: expects num_classes >= 0"));
  CHECK_THROWS_WITH(ResNet({.groups = 2}), Contains("for bottlenecks"));
  CHECK_THROWS_WITH(ResNet({.layers = {1, 0, 1, 1}}), Contains("at least 1 block"));
  CHECK_THROWS_WITH(MobileNetV2({.width_mult = 0}), Contains("width_mult"));
  CHECK_THROWS_WITH(efficientnet_b(8), Contains("0 to 7"));
  CHECK_THROWS_WITH(RegNet({.depth = 1}), Contains("expected 4"));
  CHECK_THROWS_WITH(ShuffleNetV2({.channels = {24, 47, 96, 192, 1024}}), Contains("even"));
}
