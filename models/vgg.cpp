#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pool.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/linear.h>
#include <karyon/models/vgg.h>

namespace karyon {
namespace {

constexpr std::array<std::int64_t, 5> widths{64, 128, 256, 512, 512};

void add_classifier(Sequential& classifier, const VGGOptions& o) {
  constexpr std::int64_t hidden = 4096;
  classifier.add<Linear>(widths.back() * 7 * 7, hidden);
  for (const std::int64_t out : {hidden, o.num_classes}) {
    classifier.add<ReLU>();
    classifier.add<Dropout>(o.dropout);
    classifier.add<Linear>(hidden, out);
  }
}

}  // namespace

VGG::VGG(const Options& o) : options(o) {
  check_options("VGG", o.num_classes, o.in_channels);
  std::int64_t in = o.in_channels, index = 0;
  for (std::size_t stage = 0; stage < blocks_.size(); ++stage) {
    check(o.convolutions[stage] >= 1, "VGG: expects at least 1 convolution of each size, got ",
          o.convolutions[stage]);
    for (std::int64_t i = 0; i < o.convolutions[stage]; ++i) {
      blocks_[stage].add<Conv2d>(in, widths[stage], 3, {.padding = 1});
      if (o.batch_norm) blocks_[stage].add<BatchNorm2d>(widths[stage]);
      blocks_[stage].add<ReLU>();
      in = widths[stage];
    }
    for (Module& module : blocks_[stage]) features_.name(std::to_string(index++), module);
    ++index;  // the pool
  }
  register_module("features", features_);
  if (o.num_classes > 0) {
    add_classifier(classifier, o);
    register_module("classifier", classifier);
  }
  init_network_(*this, {.linear_std = 0.01});
}

std::array<std::int64_t, 5> VGG::feature_channels() const {
  return {widths[1], widths[2], widths[3], widths[4], widths[4]};
}

Tensor VGG::extract(Tensor x, std::vector<Tensor>* pyramid) {
  for (std::size_t stage = 0; stage < blocks_.size(); ++stage) {
    x = blocks_[stage].forward(std::move(x));
    if (pyramid && stage > 0) pyramid->push_back(x);
    x = max_pool2d(x);
  }
  if (pyramid) pyramid->push_back(x);
  return x;
}

// PyTorch's order of values in a row is that of [C, H, W].
Tensor VGG::classify(Tensor x) {
  check(options.num_classes > 0, "VGG: has no classes");
  x = permute(adaptive_avg_pool2d(x, 7), {0, 3, 1, 2});
  return classifier(x.reshape({x.size(0), -1}));
}

std::unique_ptr<Module> VGG::rebuilt() const { return std::make_unique<VGG>(options); }

VGGOptions vgg11() { return {.convolutions = {1, 1, 2, 2, 2}}; }
VGGOptions vgg13() { return {.convolutions = {2, 2, 2, 2, 2}}; }
VGGOptions vgg16() { return {.convolutions = {2, 2, 3, 3, 3}}; }
VGGOptions vgg19() { return {.convolutions = {2, 2, 4, 4, 4}}; }

}  // namespace karyon
