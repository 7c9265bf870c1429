#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pool.h>
#include <karyon/layers/dropout.h>
#include <karyon/models/densenet.h>

namespace karyon {

// The channels that a layer adds to its input.
struct DenseNet::Layer : Module {
  Layer(std::int64_t in, std::int64_t growth, double p)
      : norm1(in, {.relu = true}),
        conv1(in, 4 * growth, 1, {.bias = false}),
        norm2(4 * growth, {.relu = true}),
        conv2(4 * growth, growth, 3, {.padding = 1, .bias = false}),
        dropout(p),
        drops(p > 0) {
    register_module("norm1", norm1);
    register_module("conv1", conv1);
    register_module("norm2", norm2);
    register_module("conv2", conv2);
    register_module("dropout", dropout);
  }
  Tensor forward(Tensor x) override {
    const Tensor before = x;
    x = conv_norm_activation(conv1, &norm2, ActivationKind::none, norm1(std::move(x)));
    x = conv2(std::move(x));
    return cat({before, drops ? dropout(std::move(x)) : x}, -1);
  }

  BatchNorm2d norm1;
  Conv2d conv1;
  BatchNorm2d norm2;
  Conv2d conv2;
  Dropout dropout;
  bool drops;
};

struct DenseNet::Transition : Module {
  explicit Transition(std::int64_t in) : norm(in, {.relu = true}), conv(in, in / 2, 1, {.bias = false}) {
    register_module("norm", norm);
    register_module("conv", conv);
  }
  BatchNorm2d norm;
  Conv2d conv;
};

DenseNet::DenseNet(const Options& o)
    : options(o),
      conv0(o.in_channels, o.init_features, 7, {.stride = 2, .padding = 3, .bias = false}),
      norm0(o.init_features, {.relu = true}) {
  check_options("DenseNet", o.num_classes, o.in_channels);
  check(o.growth_rate >= 1, "DenseNet: expects a growth_rate >= 1, got ", o.growth_rate);
  features_.name("conv0", conv0);
  features_.name("norm0", norm0);
  std::int64_t in = channels_[0] = o.init_features;
  for (std::size_t b = 0; b < 4; ++b) {
    const std::string number = std::to_string(b + 1);
    for (std::int64_t i = 0; i < o.blocks[b]; ++i) {
      blocks_[b].add("denselayer" + std::to_string(i + 1),
                     std::make_unique<Layer>(in, o.growth_rate, o.dropout));
      in += o.growth_rate;
    }
    features_.name("denseblock" + number, blocks_[b]);
    channels_[b + 1] = in;
    if (b == 3) break;
    transitions_.push_back(std::make_unique<Transition>(in));
    features_.name("transition" + number, *transitions_.back());
    in /= 2;
  }
  norm5 = std::make_unique<BatchNorm2d>(in);
  features_.name("norm5", *norm5);
  register_module("features", features_);
  if (o.num_classes > 0) {
    classifier = std::make_unique<Linear>(in, o.num_classes);
    register_module("classifier", *classifier);
  }
  init_network_(*this);
}

DenseNet::~DenseNet() = default;

std::array<std::int64_t, 5> DenseNet::feature_channels() const { return channels_; }

Tensor DenseNet::extract(Tensor x, std::vector<Tensor>* pyramid) {
  const auto keep = [&](const Tensor& features) {
    if (pyramid) pyramid->push_back(features);
  };
  x = conv_norm_activation(conv0, &norm0, ActivationKind::none, std::move(x));
  keep(x);
  x = max_pool2d(x, {.kernel_size = 3, .stride = Pair(2), .padding = 1});
  for (std::size_t b = 0; b < 4; ++b) {
    x = blocks_[b](std::move(x));
    if (b == 3) break;
    x = transitions_[b]->norm(std::move(x));
    keep(x);
    x = avg_pool2d(transitions_[b]->conv(std::move(x)));
  }
  x = (*norm5)(std::move(x));
  keep(x);
  return x;
}

Tensor DenseNet::classify(Tensor x) {
  check(classifier != nullptr, "DenseNet: has no classes");
  return (*classifier)(global_mean(relu(x)));
}

std::unique_ptr<Module> DenseNet::rebuilt() const { return std::make_unique<DenseNet>(options); }

DenseNetOptions densenet121() { return {}; }
DenseNetOptions densenet161() { return {.blocks = {6, 12, 36, 24}, .growth_rate = 48, .init_features = 96}; }
DenseNetOptions densenet169() { return {.blocks = {6, 12, 32, 32}}; }
DenseNetOptions densenet201() { return {.blocks = {6, 12, 48, 32}}; }

}  // namespace karyon
