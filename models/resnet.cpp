#include <karyon/core/ops/pool.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/models/resnet.h>

namespace karyon {
namespace {

struct BlockOptions {
  std::int64_t in, planes, stride, dilation, groups, width_per_group;
  bool bottleneck;

  std::int64_t out() const { return bottleneck ? 4 * planes : planes; }
  // Channels between the convolutions.
  std::int64_t width() const { return bottleneck ? planes * width_per_group / 64 * groups : planes; }
};

// activation(layers(x) + x), with x through a 1x1 convolution where shapes differ.
struct Block : Module {
  explicit Block(const BlockOptions& o)
      : options(o),
        conv1(o.in, o.width(), o.bottleneck ? 1 : 3,
              {.stride = o.bottleneck ? 1 : o.stride, .padding = o.bottleneck ? 0 : 1, .bias = false}),
        bn1(o.width(), {.relu = true}),
        conv2(o.width(), o.bottleneck ? o.width() : o.out(), 3,
              {.stride = o.bottleneck ? o.stride : 1,
               .padding = o.bottleneck ? o.dilation : 1,
               .dilation = o.bottleneck ? o.dilation : 1,
               .groups = o.groups,
               .bias = false}),
        bn2(conv2.weight.size(0), {.relu = o.bottleneck}) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    if (o.bottleneck) {
      conv3 = std::make_unique<Conv2d>(o.width(), o.out(), 1, Conv2d::Options{.bias = false});
      bn3 = std::make_unique<BatchNorm2d>(o.out());
      register_module("conv3", *conv3);
      register_module("bn3", *bn3);
    }
    if (o.stride == 1 && o.in == o.out()) return;
    downsample.add<Conv2d>(o.in, o.out(), 1, {.stride = o.stride, .bias = false});
    downsample.add<BatchNorm2d>(o.out());
    register_module("downsample", downsample);
  }

  Tensor forward(Tensor x) override {
    const Tensor identity = downsample.size() > 0 ? downsample(x) : x;
    x = conv_norm_activation(conv1, &bn1, ActivationKind::none, std::move(x));
    if (!conv3) return conv_norm_activation(conv2, &bn2, ActivationKind::relu, std::move(x), identity);
    x = conv_norm_activation(conv2, &bn2, ActivationKind::none, std::move(x));
    return conv_norm_activation(*conv3, bn3.get(), ActivationKind::relu, std::move(x), identity);
  }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Block>(options); }

  const BlockOptions options;
  Conv2d conv1;
  BatchNorm2d bn1;
  Conv2d conv2;
  BatchNorm2d bn2;
  std::unique_ptr<Conv2d> conv3;
  std::unique_ptr<BatchNorm2d> bn3;
  Sequential downsample;  // empty where shapes agree
};

// Blocks of one size. `dilation` is that of the layers before, and then of this one.
void add_blocks(Sequential& layer, const ResNetOptions& o, std::int64_t index, std::int64_t& in,
                std::int64_t& dilation) {
  const auto at = static_cast<std::size_t>(index);
  BlockOptions block{.in = in,
                     .planes = std::int64_t{64} << index,
                     .stride = index == 0 ? 1 : 2,
                     .dilation = dilation,
                     .groups = o.groups,
                     .width_per_group = o.width_per_group,
                     .bottleneck = o.bottleneck};
  if (index > 0 && o.replace_stride_with_dilation[at - 1]) {
    dilation *= 2;
    block.stride = 1;
  }
  for (std::int64_t i = 0; i < o.layers[at]; ++i) {
    layer.add(std::make_unique<Block>(block));
    block.in = in = block.out();
    block.stride = 1;
    block.dilation = dilation;
  }
}

const ResNetOptions& checked(const ResNetOptions& o) {
  for (const std::int64_t blocks : o.layers)
    check(blocks >= 1, "ResNet: expects at least 1 block of each size, got ", blocks);
  check(o.groups >= 1 && o.width_per_group >= 1, "ResNet: expects groups and width_per_group >= 1, got ",
        o.groups, " and ", o.width_per_group);
  const bool plain =
      o.groups == 1 && o.width_per_group == 64 && o.replace_stride_with_dilation == std::array<bool, 3>{};
  check(o.bottleneck || plain, "ResNet: groups, widths and dilations are for bottlenecks");
  return o;
}

}  // namespace

ResNet::ResNet(const Options& o)
    : options(checked(o)),
      conv1(o.in_channels, 64, 7, {.stride = 2, .padding = 3, .bias = false}),
      bn1(64, {.relu = true}) {
  check_options("ResNet", o.num_classes, o.in_channels);
  std::int64_t in = 64, dilation = 1;
  register_module("conv1", conv1);
  register_module("bn1", bn1);
  std::int64_t index = 0;
  for (Sequential* const layer : {&layer1, &layer2, &layer3, &layer4}) {
    add_blocks(*layer, o, index++, in, dilation);
    register_module("layer" + std::to_string(index), *layer);
  }
  if (o.num_classes > 0) {
    fc = std::make_unique<Linear>(in, o.num_classes);
    register_module("fc", *fc);
  }
  init_network_(*this);
}

std::array<std::int64_t, 5> ResNet::feature_channels() const {
  const std::int64_t expansion = options.bottleneck ? 4 : 1;
  return {64, 64 * expansion, 128 * expansion, 256 * expansion, 512 * expansion};
}

Tensor ResNet::extract(Tensor x, std::vector<Tensor>* pyramid) {
  x = conv_norm_activation(conv1, &bn1, ActivationKind::none, std::move(x));
  if (pyramid) pyramid->push_back(x);
  x = max_pool2d(x, {.kernel_size = 3, .stride = Pair(2), .padding = 1});
  for (Sequential* const layer : {&layer1, &layer2, &layer3, &layer4}) {
    x = (*layer)(std::move(x));
    if (pyramid) pyramid->push_back(x);
  }
  return x;
}

Tensor ResNet::classify(Tensor x) {
  check(fc != nullptr, "ResNet: has no classes");
  return (*fc)(global_mean(x));
}

std::unique_ptr<Module> ResNet::rebuilt() const { return std::make_unique<ResNet>(options); }

ResNetOptions resnet18() { return {.layers = {2, 2, 2, 2}}; }
ResNetOptions resnet34() { return {.layers = {3, 4, 6, 3}}; }
ResNetOptions resnet50() { return {.layers = {3, 4, 6, 3}, .bottleneck = true}; }
ResNetOptions resnet101() { return {.layers = {3, 4, 23, 3}, .bottleneck = true}; }
ResNetOptions resnext50_32x4d() {
  return {.layers = {3, 4, 6, 3}, .bottleneck = true, .groups = 32, .width_per_group = 4};
}
ResNetOptions resnext101_32x8d() {
  return {.layers = {3, 4, 23, 3}, .bottleneck = true, .groups = 32, .width_per_group = 8};
}
ResNetOptions wide_resnet50_2() {
  return {.layers = {3, 4, 6, 3}, .bottleneck = true, .width_per_group = 128};
}

}  // namespace karyon
