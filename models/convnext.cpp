#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/blocks.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/linear.h>
#include <karyon/models/convnext.h>
#include <karyon/models/parts.h>

namespace karyon {
namespace {

constexpr double norm_eps = 1e-6;

// x + layer_scale block(x). PyTorch permutes between convolution and norm: with channels last there is
// nothing to do, but the modules have numbers.
struct ConvNeXtBlock : Module {
  ConvNeXtBlock(std::int64_t channels, double scale, double depth_p)
      : layer_scale(full({channels, 1, 1}, scale)), scale_(scale), depth_p_(depth_p), depth(depth_p) {
    block.add<Conv2d>(channels, channels, 7, {.padding = 3, .groups = channels});
    block.add<Identity>();
    block.add<LayerNorm>(Shape{channels}, {.eps = norm_eps});
    block.add<Linear>(channels, 4 * channels);
    block.add<GELU>();
    block.add<Linear>(4 * channels, channels);
    block.add<Identity>();
    register_parameter("layer_scale", layer_scale);
    register_module("block", block);
    register_module("stochastic_depth", depth);
  }
  Tensor forward(Tensor x) override {
    const Tensor scale = layer_scale.reshape({layer_scale.size(0)});
    if (grad_enabled() || depth.is_training() || CallObserver::current()) return x + depth(block(x) * scale);
    Tensor y = x;
    for (std::size_t i = 0; i < 3; ++i) y = block[i](std::move(y));
    y = linear_activation(dynamic_cast<Linear&>(block[3]), ActivationKind::gelu, std::move(y));
    return linear_activation(dynamic_cast<Linear&>(block[5]), ActivationKind::none, std::move(y), scale, x);
  }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<ConvNeXtBlock>(layer_scale.size(0), scale_, depth_p_);
  }

  Tensor layer_scale;  // [C, 1, 1], as PyTorch has it
  Sequential block;

 private:
  double scale_, depth_p_;

 public:
  StochasticDepth depth;
};

}  // namespace

ConvNeXt::ConvNeXt(const Options& o) : options(o) {
  check_options("ConvNeXt", o.num_classes, o.in_channels);
  std::int64_t all = 0, index = 0;
  for (const std::int64_t blocks : o.blocks) all += blocks;
  auto stem = std::make_unique<Sequential>();
  stem->add<Conv2d>(o.in_channels, o.channels[0], 4, {.stride = 4});
  stem->add<LayerNorm>(Shape{o.channels[0]}, {.eps = norm_eps});
  layers.add(std::move(stem));
  for (std::size_t stage = 0; stage < 4; ++stage) {
    auto blocks = std::make_unique<Sequential>();
    for (std::int64_t i = 0; i < o.blocks[stage]; ++i) {
      const double p =
          all < 2 ? 0 : o.stochastic_depth * static_cast<double>(index) / static_cast<double>(all - 1);
      blocks->add<ConvNeXtBlock>(o.channels[stage], o.layer_scale, p);
      ++index;
    }
    layers.add(std::move(blocks));
    if (stage == 3) break;
    auto down = std::make_unique<Sequential>();
    down->add<LayerNorm>(Shape{o.channels[stage]}, {.eps = norm_eps});
    down->add<Conv2d>(o.channels[stage], o.channels[stage + 1], 2, {.stride = 2});
    layers.add(std::move(down));
  }
  register_module("features", layers);
  if (o.num_classes > 0) {
    classifier.add<LayerNorm>(Shape{o.channels[3]}, {.eps = norm_eps});
    classifier.add<Identity>();
    classifier.add<Linear>(o.channels[3], o.num_classes);
    register_module("classifier", classifier);
  }
  init_network_(*this, {.conv_std = 0.02, .linear_std = 0.02});
}

std::array<std::int64_t, 5> ConvNeXt::feature_channels() const {
  const auto& c = options.channels;
  return {0, c[0], c[1], c[2], c[3]};
}

Tensor ConvNeXt::extract(Tensor x, std::vector<Tensor>* pyramid) {
  if (pyramid) pyramid->emplace_back();
  return run_with_taps(layers, std::move(x), {1, 3, 5, 7}, pyramid);
}

Tensor ConvNeXt::classify(Tensor x) {
  check(options.num_classes > 0, "ConvNeXt: has no classes");
  return classifier(global_mean(x));
}

std::unique_ptr<Module> ConvNeXt::rebuilt() const { return std::make_unique<ConvNeXt>(options); }

ConvNeXtOptions convnext_tiny() { return {}; }
ConvNeXtOptions convnext_small() { return {.blocks = {3, 3, 27, 3}, .stochastic_depth = 0.4}; }
ConvNeXtOptions convnext_base() {
  return {.channels = {128, 256, 512, 1024}, .blocks = {3, 3, 27, 3}, .stochastic_depth = 0.5};
}

}  // namespace karyon
