#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/core/random.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/linear.h>
#include <karyon/models/efficientnet.h>
#include <karyon/models/parts.h>

namespace karyon {
namespace {

struct Stage {
  std::int64_t expansion, kernel, stride, in, out, blocks;
};
// Table 1 of the article: B0.
constexpr Stage stages[] = {{1, 3, 1, 32, 16, 1},  {6, 3, 2, 16, 24, 2},  {6, 5, 2, 24, 40, 2},
                            {6, 3, 2, 40, 80, 3},  {6, 5, 1, 80, 112, 3}, {6, 5, 2, 112, 192, 4},
                            {6, 3, 1, 192, 320, 1}};

std::int64_t scaled(const EfficientNetOptions& o, std::int64_t channels) {
  return make_divisible(static_cast<double>(channels) * o.width_mult);
}
std::int64_t deepened(const EfficientNetOptions& o, std::int64_t blocks) {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(blocks) * o.depth_mult));
}

ConvNormActivationOptions conv(const EfficientNetOptions& o, ActivationKind activation,
                               std::int64_t stride = 1, std::int64_t groups = 1) {
  return {.stride = stride, .groups = groups, .activation = activation, .eps = o.eps, .momentum = o.momentum};
}

std::unique_ptr<Module> make_block(const EfficientNetOptions& o, const Stage& s, double depth_p) {
  const ActivationKind silu = ActivationKind::silu;
  const std::int64_t wide = make_divisible(static_cast<double>(s.in * s.expansion));
  auto block = std::make_unique<ResidualSequential>("block", s.stride == 1 && s.in == s.out, depth_p);
  Sequential& layers = block->layers;
  if (wide != s.in) layers.add<ConvNormActivation>(s.in, wide, 1, conv(o, silu));
  layers.add<ConvNormActivation>(wide, wide, s.kernel, conv(o, silu, s.stride, wide));
  layers.add<SqueezeExcitation>(wide, std::max<std::int64_t>(1, s.in / 4), {.activation = silu});
  layers.add<ConvNormActivation>(wide, s.out, 1, conv(o, ActivationKind::none));
  return block;
}

}  // namespace

EfficientNet::EfficientNet(const Options& o) : options(o) {
  check_options("EfficientNet", o.num_classes, o.in_channels);
  check(o.width_mult > 0 && o.width_mult <= 100 && o.depth_mult > 0 && o.depth_mult <= 100,
        "EfficientNet: expects width_mult and depth_mult in (0, 100], got ", o.width_mult, " and ",
        o.depth_mult);
  std::int64_t all = 0, block = 0;
  for (const Stage& stage : stages) all += deepened(o, stage.blocks);
  layers.add<ConvNormActivation>(o.in_channels, scaled(o, 32), 3, conv(o, ActivationKind::silu, 2));
  for (Stage stage : stages) {
    auto blocks = std::make_unique<Sequential>();
    stage.in = scaled(o, stage.in);
    stage.out = scaled(o, stage.out);
    for (std::int64_t i = 0; i < deepened(o, stage.blocks); ++i) {
      blocks->add(
          make_block(o, stage, o.stochastic_depth * static_cast<double>(block++) / static_cast<double>(all)));
      stage.in = stage.out;
      stage.stride = 1;
    }
    layers.add(std::move(blocks));
  }
  const std::int64_t last = feature_channels().back();
  layers.add<ConvNormActivation>(last / 4, last, 1, conv(o, ActivationKind::silu));
  register_module("features", layers);
  init_network_(*this);
  if (o.num_classes == 0) return;
  classifier.add<Dropout>(o.dropout);
  auto& logits = classifier.add<Linear>(last, o.num_classes);
  register_module("classifier", classifier);
  const NoGradGuard no_grad;
  const double range = 1 / std::sqrt(static_cast<double>(o.num_classes));
  uniform_(logits.weight, -range, range);
  logits.bias.zero_();
}

std::array<std::int64_t, 5> EfficientNet::feature_channels() const {
  return {scaled(options, 16), scaled(options, 24), scaled(options, 40), scaled(options, 112),
          4 * scaled(options, 320)};
}

Tensor EfficientNet::extract(Tensor x, std::vector<Tensor>* pyramid) {
  return run_with_taps(layers, std::move(x), {1, 2, 3, 5, 8}, pyramid);
}

Tensor EfficientNet::classify(Tensor x) {
  check(options.num_classes > 0, "EfficientNet: has no classes");
  return classifier(global_mean(x));
}

std::unique_ptr<Module> EfficientNet::rebuilt() const { return std::make_unique<EfficientNet>(options); }

EfficientNetOptions efficientnet_b(int number) {
  struct Scale {
    double width, depth, dropout;
  };
  constexpr Scale scales[] = {{1.0, 1.0, 0.2}, {1.0, 1.1, 0.2}, {1.1, 1.2, 0.3}, {1.2, 1.4, 0.3},
                              {1.4, 1.8, 0.4}, {1.6, 2.2, 0.4}, {1.8, 2.6, 0.5}, {2.0, 3.1, 0.5}};
  check(number >= 0 && number <= 7, "efficientnet_b: expects a number of 0 to 7, got ", number);
  const Scale& scale = scales[number];
  const bool large = number >= 5;
  return {.width_mult = scale.width,
          .depth_mult = scale.depth,
          .dropout = scale.dropout,
          .eps = large ? 1e-3 : 1e-5,
          .momentum = large ? 0.01 : 0.1};
}

}  // namespace karyon
