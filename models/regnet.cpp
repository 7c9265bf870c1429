#include <cmath>

#include <karyon/models/regnet.h>

namespace karyon {
namespace {

struct Stage {
  std::int64_t width, blocks, group_width;
};

// Halves round to even, as in PyTorch.
std::vector<Stage> stages_of(const RegNetOptions& o) {
  std::vector<Stage> stages;
  for (std::int64_t i = 0; i < o.depth; ++i) {
    const double w_0 = static_cast<double>(o.w_0), width = w_0 + o.w_a * static_cast<double>(i),
                 power = std::nearbyint(std::log(width / w_0) / std::log(o.w_m));
    const auto rounded = static_cast<std::int64_t>(std::nearbyint(w_0 * std::pow(o.w_m, power) / 8)) * 8;
    if (stages.empty() || stages.back().width != rounded) stages.push_back({rounded, 0, 0});
    ++stages.back().blocks;
  }
  for (Stage& stage : stages) {
    stage.group_width = std::min(o.group_width, stage.width);
    stage.width = make_divisible(static_cast<double>(stage.width), stage.group_width);
  }
  return stages;
}

// ReLU(f(x) + x), with x through a 1x1 convolution where shapes differ.
struct Bottleneck : Module {
  Bottleneck(std::int64_t in, std::int64_t out, std::int64_t stride, std::int64_t group_width,
             double se_ratio)
      : in_(in),
        out_(out),
        stride_(stride),
        group_width_(group_width),
        se_ratio_(se_ratio),
        a(in, out, 1),
        b(out, out, 3, {.stride = stride, .groups = out / group_width}),
        c(out, out, 1, {.activation = ActivationKind::none}) {
    if (in != out || stride != 1) {
      proj = std::make_unique<ConvNormActivation>(
          in, out, 1, ConvNormActivationOptions{.stride = stride, .activation = ActivationKind::none});
      register_module("proj", *proj);
    }
    f.name("a", a);
    f.name("b", b);
    if (se_ratio > 0) {
      se = std::make_unique<SqueezeExcitation>(
          out, static_cast<std::int64_t>(std::nearbyint(se_ratio * static_cast<double>(in))));
      f.name("se", *se);
    }
    f.name("c", c);
    register_module("f", f);
  }

  Tensor forward(Tensor x) override {
    const Tensor identity = proj ? (*proj)(x) : x;
    x = b(a(std::move(x)));
    if (se) x = (*se)(std::move(x));
    auto& conv = static_cast<Conv2d&>(c[0]);
    return conv_norm_activation(conv, &c[1], ActivationKind::relu, std::move(x), identity);
  }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<Bottleneck>(in_, out_, stride_, group_width_, se_ratio_);
  }

  const std::int64_t in_, out_, stride_, group_width_;
  const double se_ratio_;
  std::unique_ptr<ConvNormActivation> proj;
  ConvNormActivation a, b;
  std::unique_ptr<SqueezeExcitation> se;
  ConvNormActivation c;
  ModuleNames f;
};

}  // namespace

RegNet::RegNet(const Options& o) : options(o), stem(o.in_channels, 32, 3, {.stride = 2}) {
  check_options("RegNet", o.num_classes, o.in_channels);
  check(o.depth >= 1 && o.w_0 >= 8 && o.w_0 % 8 == 0 && o.w_a >= 0 && o.w_m > 1 && o.group_width >= 1,
        "RegNet: expects depth >= 1, w_0 a multiple of 8, w_a >= 0, w_m > 1 and group_width >= 1");
  const std::vector<Stage> stages = stages_of(o);
  check(stages.size() == 4, "RegNet: these options give ", stages.size(), " sizes, expected 4");
  register_module("stem", stem);
  std::int64_t in = 32;
  channels_[0] = in;
  for (std::size_t s = 0; s < 4; ++s) {
    const std::string name = "block" + std::to_string(s + 1);
    auto stage = std::make_unique<NamedSequence>();
    for (std::int64_t i = 0; i < stages[s].blocks; ++i) {
      stage->add(name + "-" + std::to_string(i),
                 std::make_unique<Bottleneck>(in, stages[s].width, i == 0 ? 2 : 1, stages[s].group_width,
                                              o.se_ratio));
      in = stages[s].width;
    }
    trunk_.add(name, std::move(stage));
    channels_[s + 1] = in;
  }
  register_module("trunk_output", trunk_);
  if (o.num_classes > 0) {
    fc = std::make_unique<Linear>(in, o.num_classes);
    register_module("fc", *fc);
  }
  init_network_(*this, {.linear_std = 0.01});
}

std::array<std::int64_t, 5> RegNet::feature_channels() const { return channels_; }

Tensor RegNet::extract(Tensor x, std::vector<Tensor>* pyramid) {
  x = stem(std::move(x));
  if (pyramid) pyramid->push_back(x);
  for (const auto& stage : trunk_.modules) {
    x = (*stage)(std::move(x));
    if (pyramid) pyramid->push_back(x);
  }
  return x;
}

Tensor RegNet::classify(Tensor x) {
  check(fc != nullptr, "RegNet: has no classes");
  return (*fc)(global_mean(x));
}

std::unique_ptr<Module> RegNet::rebuilt() const { return std::make_unique<RegNet>(options); }

RegNetOptions regnet_y_400mf() { return {}; }
RegNetOptions regnet_y_800mf() {
  return {.depth = 14, .w_0 = 56, .w_a = 38.84, .w_m = 2.4, .group_width = 16};
}
RegNetOptions regnet_y_1_6gf() {
  return {.depth = 27, .w_0 = 48, .w_a = 20.71, .w_m = 2.65, .group_width = 24};
}
RegNetOptions regnet_x_400mf() {
  return {.depth = 22, .w_0 = 24, .w_a = 24.48, .w_m = 2.54, .group_width = 16, .se_ratio = 0};
}

}  // namespace karyon
