#include <karyon/layers/activation.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/linear.h>
#include <karyon/models/mobilenet.h>
#include <karyon/models/parts.h>

namespace karyon {
namespace {

// ---- MobileNetV2

std::int64_t scaled(const MobileNetV2Options& o, std::int64_t channels) {
  return make_divisible(static_cast<double>(channels) * o.width_mult);
}

std::unique_ptr<Module> inverted_residual(std::int64_t in, std::int64_t out, std::int64_t stride,
                                          std::int64_t expansion) {
  const ActivationKind relu6 = ActivationKind::relu6;
  const std::int64_t wide = in * expansion;
  auto block = std::make_unique<ResidualSequential>("conv", stride == 1 && in == out);
  if (expansion != 1) block->layers.add<ConvNormActivation>(in, wide, 1, {.activation = relu6});
  block->layers.add<ConvNormActivation>(wide, wide, 3,
                                        {.stride = stride, .groups = wide, .activation = relu6});
  block->layers.add<Conv2d>(wide, out, 1, {.bias = false});
  block->layers.add<BatchNorm2d>(out);
  return block;
}

// ---- MobileNetV3

struct InvertedResidual {
  std::int64_t in, kernel, wide, out;
  bool squeeze, hardswish;
  std::int64_t stride;
};

// Table 1 of the article.
const std::vector<InvertedResidual> large_blocks{
    {16, 3, 16, 16, false, false, 1},  {16, 3, 64, 24, false, false, 2},  {24, 3, 72, 24, false, false, 1},
    {24, 5, 72, 40, true, false, 2},   {40, 5, 120, 40, true, false, 1},  {40, 5, 120, 40, true, false, 1},
    {40, 3, 240, 80, false, true, 2},  {80, 3, 200, 80, false, true, 1},  {80, 3, 184, 80, false, true, 1},
    {80, 3, 184, 80, false, true, 1},  {80, 3, 480, 112, true, true, 1},  {112, 3, 672, 112, true, true, 1},
    {112, 5, 672, 160, true, true, 2}, {160, 5, 960, 160, true, true, 1}, {160, 5, 960, 160, true, true, 1}};
// Table 2.
const std::vector<InvertedResidual> small_blocks{
    {16, 3, 16, 16, true, false, 2}, {16, 3, 72, 24, false, false, 2}, {24, 3, 88, 24, false, false, 1},
    {24, 5, 96, 40, true, true, 2},  {40, 5, 240, 40, true, true, 1},  {40, 5, 240, 40, true, true, 1},
    {40, 5, 120, 48, true, true, 1}, {48, 5, 144, 48, true, true, 1},  {48, 5, 288, 96, true, true, 2},
    {96, 5, 576, 96, true, true, 1}, {96, 5, 576, 96, true, true, 1}};

const std::vector<InvertedResidual>& blocks_of(const MobileNetV3Options& o) {
  return o.small ? small_blocks : large_blocks;
}

// The norms of MobileNetV3.
ConvNormActivationOptions v3(ActivationKind activation, std::int64_t stride = 1, std::int64_t groups = 1) {
  return {.stride = stride, .groups = groups, .activation = activation, .eps = 1e-3, .momentum = 0.01};
}

std::unique_ptr<Module> make_block(const InvertedResidual& b) {
  const ActivationKind activation = b.hardswish ? ActivationKind::hardswish : ActivationKind::relu;
  auto block = std::make_unique<ResidualSequential>("block", b.stride == 1 && b.in == b.out);
  if (b.wide != b.in) block->layers.add<ConvNormActivation>(b.in, b.wide, 1, v3(activation));
  block->layers.add<ConvNormActivation>(b.wide, b.wide, b.kernel, v3(activation, b.stride, b.wide));
  if (b.squeeze)
    block->layers.add<SqueezeExcitation>(b.wide, make_divisible(static_cast<double>(b.wide / 4)),
                                         {.hardsigmoid = true});
  block->layers.add<ConvNormActivation>(b.wide, b.out, 1, v3(ActivationKind::none));
  return block;
}

}  // namespace

MobileNetV2::MobileNetV2(const Options& o) : options(o) {
  check_options("MobileNetV2", o.num_classes, o.in_channels);
  check(o.width_mult > 0 && o.width_mult <= 100, "MobileNetV2: expects width_mult in (0, 100], got ",
        o.width_mult);
  struct Stage {
    std::int64_t expansion, channels, blocks, stride;
  };
  constexpr Stage stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                              {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  std::int64_t in = scaled(o, 32);
  layers.add<ConvNormActivation>(o.in_channels, in, 3, {.stride = 2, .activation = ActivationKind::relu6});
  for (const Stage& stage : stages)
    for (std::int64_t i = 0; i < stage.blocks; ++i) {
      const std::int64_t out = scaled(o, stage.channels);
      layers.add(inverted_residual(in, out, i == 0 ? stage.stride : 1, stage.expansion));
      in = out;
    }
  const std::int64_t last = feature_channels().back();
  layers.add<ConvNormActivation>(in, last, 1, {.activation = ActivationKind::relu6});
  register_module("features", layers);
  if (o.num_classes > 0) {
    classifier.add<Dropout>(o.dropout);
    classifier.add<Linear>(last, o.num_classes);
    register_module("classifier", classifier);
  }
  init_network_(*this, {.linear_std = 0.01});
}

std::array<std::int64_t, 5> MobileNetV2::feature_channels() const {
  return {scaled(options, 16), scaled(options, 24), scaled(options, 32), scaled(options, 96),
          make_divisible(1280 * std::max(1.0, options.width_mult))};
}

Tensor MobileNetV2::extract(Tensor x, std::vector<Tensor>* pyramid) {
  return run_with_taps(layers, std::move(x), {1, 3, 6, 13, 18}, pyramid);
}

Tensor MobileNetV2::classify(Tensor x) {
  check(options.num_classes > 0, "MobileNetV2: has no classes");
  return classifier(global_mean(x));
}

std::unique_ptr<Module> MobileNetV2::rebuilt() const { return std::make_unique<MobileNetV2>(options); }

MobileNetV3::MobileNetV3(const Options& o) : options(o) {
  check_options("MobileNetV3", o.num_classes, o.in_channels);
  const std::vector<InvertedResidual>& blocks = blocks_of(o);
  layers.add<ConvNormActivation>(o.in_channels, blocks.front().in, 3, v3(ActivationKind::hardswish, 2));
  for (const InvertedResidual& block : blocks) layers.add(make_block(block));
  const std::int64_t last = 6 * blocks.back().out;
  layers.add<ConvNormActivation>(blocks.back().out, last, 1, v3(ActivationKind::hardswish));
  register_module("features", layers);
  if (o.num_classes > 0) {
    const std::int64_t hidden = o.small ? 1024 : 1280;
    classifier.add<Linear>(last, hidden);
    classifier.add<Hardswish>();
    classifier.add<Dropout>(o.dropout);
    classifier.add<Linear>(hidden, o.num_classes);
    register_module("classifier", classifier);
  }
  init_network_(*this, {.linear_std = 0.01});
}

std::array<std::int64_t, 5> MobileNetV3::feature_channels() const {
  if (options.small) return {16, 16, 24, 48, 576};
  return {16, 24, 40, 112, 960};
}

Tensor MobileNetV3::extract(Tensor x, std::vector<Tensor>* pyramid) {
  const std::vector<std::size_t> large{1, 3, 6, 12, 16}, small{0, 1, 3, 8, 12};
  return run_with_taps(layers, std::move(x), options.small ? small : large, pyramid);
}

Tensor MobileNetV3::classify(Tensor x) {
  check(options.num_classes > 0, "MobileNetV3: has no classes");
  return classifier(global_mean(x));
}

std::unique_ptr<Module> MobileNetV3::rebuilt() const { return std::make_unique<MobileNetV3>(options); }

MobileNetV3Options mobilenet_v3_large() { return {}; }
MobileNetV3Options mobilenet_v3_small() { return {.small = true}; }

}  // namespace karyon
