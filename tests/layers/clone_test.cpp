#include <catch2/catch.hpp>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/karyon.h>

using namespace karyon;
using Catch::Contains;

namespace {

// Holds children in every way there is: by value, in a list, by reference, by pointer.
struct Net : Module {
  explicit Net(std::int64_t width) : head(width, 2) {
    first = &body.add<Conv2d>(3, width, 1);
    body.add<BatchNorm2d>(width);
    body.add([](const Tensor& x) { return x * 2; });
    register_module("body", body);
    register_module("head", head);
    register_parameter("scale", scale);
    register_buffer("seen", seen);
  }
  Tensor forward(Tensor x) override { return head(body(std::move(x))) * scale; }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Net>(head.weight.size(1)); }

  Sequential body;
  Conv2d* first = nullptr;
  Linear head;
  Linear& last = head;
  Tensor scale = ones({1}), seen = zeros({}, {.dtype = i64});
};

std::vector<std::vector<double>> values(const Module& module) {
  std::vector<std::vector<double>> out;
  for (const auto& [name, x] : module.state_dict()) out.push_back(x.to_vector<double>());
  return out;
}

}  // namespace

TEST_CASE("clone: a module of one's own is copied with its values, modes and frozen parameters") {
  Net net(4);
  net.head.requires_grad_(false);
  net.body.eval();
  net.seen.fill_(3);
  net.scale.set_grad(ones({1}));
  const std::unique_ptr<Net> copy = clone(net);
  CHECK(values(*copy) == values(net));
  CHECK_FALSE(copy->head.weight.requires_grad());
  CHECK(copy->first->weight.requires_grad());
  CHECK(copy->is_training());
  CHECK_FALSE(copy->body[1].is_training());
  CHECK_FALSE(copy->scale.grad().defined());
  const Tensor x = randn({2, 5, 5, 3});
  CHECK((*copy)(x).to_vector<float>() == net(x).to_vector<float>());

  // Nothing is shared, and what refers to a child refers to the copy's.
  CHECK(copy->first == &copy->body[0]);
  CHECK(&copy->last == &copy->head);
  const auto before = values(net);
  const NoGradGuard no_grad;
  for (auto& [name, tensor] : copy->state_dict()) tensor.fill_(7);
  CHECK(values(net) == before);
  CHECK(copy->last.weight.to_vector<float>()[0] == 7);
}

TEST_CASE("clone: draws nothing from the caller's generator") {
  manual_seed(8);
  Net net(2);
  const std::uint64_t position = default_generator().position();
  net.clone();
  CHECK(default_generator().position() == position);
}

TEST_CASE("clone: types, and parameters that are shared, stay as they are") {
  struct Tied : Module {
    Tied() {
      register_module("a", a);
      register_module("b", b);
      register_module("again", a);
    }
    std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Tied>(); }
    Linear a{3, 3}, b{3, 3};
  } net;
  net.b.weight = net.a.weight;  // after it was built
  net.to(f64);
  const auto copy = clone(net);
  CHECK(net.parameters().size() == 3);
  CHECK(copy->parameters().size() == 3);
  CHECK(copy->b.weight.impl() == copy->a.weight.impl());
  CHECK(copy->b.weight.dtype() == f64);
  CHECK(copy->named_children()[2].second == &copy->a);
}

TEST_CASE("clone: parameters that are shared no longer have values of their own") {
  struct Tied : Module {
    Tied() {
      b.weight = a.weight;
      register_module("a", a);
      register_module("b", b);
    }
    std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Tied>(); }
    Linear a{2, 2}, b{2, 2};
  } net;
  net.b.weight = zeros({2, 2});
  const auto copy = clone(net);
  CHECK(values(*copy) == values(net));
  CHECK(copy->a.weight.impl() != copy->b.weight.impl());
  CHECK(copy->a.weight.requires_grad());
  CHECK_FALSE(copy->b.weight.requires_grad());
}

TEST_CASE("clone: every layer and network says how it is built") {
  Sequential net;
  net.add<Conv2d>(4, 6, {3, 1}, {.stride = 2, .padding = {1, 0}, .dilation = 1, .groups = 2, .bias = false});
  net.add<ConvTranspose2d>(6, 4, 2, {.stride = 2, .output_padding = 1, .groups = 2});
  net.add<BatchNorm2d>(4, {.momentum = 0.3, .affine = false, .relu = true});
  net.add<GroupNorm>(2, 4, {.affine = false, .relu = true});
  net.add<LayerNorm>({4}, {.eps = 1e-3});
  net.add<MaxPool2d>({.kernel_size = 3, .stride = 1});
  net.add<AvgPool2d>(2);
  net.add<Upsample>(3);
  net.add<Dropout>(0.0);
  net.add<ReLU>();
  net.add<LeakyReLU>(0.3);
  net.add<Sigmoid>();
  net.add<Tanh>();
  net.add<Softplus>({.beta = 3});
  net.add<SiLU>();
  net.add<GELU>({.approximate = GeluApproximate::tanh});
  net.add<ReLU6>();
  net.add<Hardtanh>(-2.0, 3.0);
  net.add<Hardsigmoid>();
  net.add<Hardswish>();
  net.add<ELU>(0.5);
  net.add<CELU>(0.5);
  net.add<SELU>();
  net.add<Mish>();
  net.add<LogSigmoid>();
  net.add<Softsign>();
  net.add<PReLU>(4, 0.1);
  net.add([](const Tensor& x) { return cat({x, x}, -1); });
  net.add<GLU>();
  net.add<Identity>();
  net.add([](const Tensor& x) { return x + 1; });
  net.add<Linear>(4, 3, {.bias = false});
  for (const Norm norm : {Norm::none, Norm::batch, Norm::group})
    net.add<UNet>({.in_channels = 3, .out_channels = 3, .base_width = 2, .depth = 2, .norm = norm});
  net.add<DoubleConv>(3, 4, Norm::group);
  net.add<ConvNormActivation>(4, 4, 3, {.groups = 2, .activation = ActivationKind::hardswish, .eps = 1e-3});
  net.add<SqueezeExcitation>(4, 2, {.activation = ActivationKind::silu, .hardsigmoid = true});
  net.add<StochasticDepth>(0.0);
  net.add<AdaptiveAvgPool2d>(2);
  net.add<Flatten>();
  net.add<BatchNorm1d>(16, {.eps = 1e-2});
  net.add<Softmax>(0);
  net.add<LogSoftmax>(0);
  const auto copy = clone(net);
  const Tensor x = randn({3, 20, 12, 4});
  CHECK(copy->size() == net.size());
  for (const bool training : {true, false}) {
    net.train(training);
    copy->train(training);
    CHECK((*copy)(x).to_vector<float>() == net(x).to_vector<float>());
  }
  const UpBlock up(4, Norm::batch, UpMode::bilinear);
  CHECK(values(*clone(up)) == values(up));
  ModuleList<Linear> list;
  list.add(2, 3);
  const std::unique_ptr<ModuleList<Linear>> copied = clone(list);
  CHECK((*copied)[0].weight.shape() == Shape{3, 2});
}

TEST_CASE("clone: layers of sequences and volumes") {
  const auto check_layer = [](Module& layer, const Shape& shape) {
    INFO(layer.type());
    const auto copy = layer.clone();
    const Tensor x = randn(shape);
    CHECK(values(*copy) == values(layer));
    CHECK((*copy)(x).to_vector<float>() == layer(x).to_vector<float>());
  };
  const Shape sequence{2, 9, 4}, volume{2, 5, 6, 4, 4};
  Conv1d conv1(4, 6, 3, {.stride = 2, .padding = 1, .groups = 2, .bias = false});
  check_layer(conv1, sequence);
  ConvTranspose1d up1(4, 6, 2, {.stride = 2, .output_padding = 1, .groups = 2});
  check_layer(up1, sequence);
  Conv3d conv3(4, 6, {1, 3, 3}, {.stride = {1, 2, 1}, .padding = 1, .dilation = {2, 1, 1}, .groups = 2});
  check_layer(conv3, volume);
  ConvTranspose3d up3(4, 6, 2, {.stride = 2, .padding = {0, 1, 0}, .output_padding = {1, 0, 1}});
  check_layer(up3, volume);
  MaxPool1d max1({.kernel_size = 3, .stride = 1, .ceil_mode = true});
  check_layer(max1, sequence);
  AvgPool1d avg1(2);
  check_layer(avg1, sequence);
  AdaptiveAvgPool1d adaptive1(2);
  check_layer(adaptive1, sequence);
  MaxPool3d max3({.kernel_size = {1, 2, 3}, .stride = 1});
  check_layer(max3, volume);
  AvgPool3d avg3({.kernel_size = 2, .count_include_pad = false});
  check_layer(avg3, volume);
  AdaptiveAvgPool3d adaptive3({1, 2, 3});
  check_layer(adaptive3, volume);
  BatchNorm3d batch(4, {.momentum = 0.3, .affine = false});
  batch.eval();
  check_layer(batch, volume);
  InstanceNorm1d instance1(4);
  check_layer(instance1, sequence);
  InstanceNorm2d instance2(4, {.eps = 1e-2, .affine = true});
  check_layer(instance2, {2, 5, 6, 4});
  InstanceNorm3d instance3(4, {.relu = true});
  check_layer(instance3, volume);
  Upsample up({2, 1, 3}, {.mode = InterpolateMode::trilinear});
  check_layer(up, volume);
  PixelShuffle shuffle(2);
  check_layer(shuffle, {2, 5, 6, 4});
  PixelUnshuffle unshuffle(2);
  check_layer(unshuffle, {2, 4, 6, 4});
  ChannelShuffle channels(2);
  check_layer(channels, volume);
}

TEST_CASE("clone: borders") {
  const Tensor s = randn({2, 5, 3}), x = randn({2, 4, 5, 3}), v = randn({1, 3, 4, 5, 2});
  const auto check_layer = [](PadLayer& layer, const Tensor& in) {
    INFO(layer.type());
    CHECK((*layer.clone())(in).to_vector<float>() == layer(in).to_vector<float>());
  };
  ZeroPad2d zero(Pad2d{.top = 1, .right = 2});
  check_layer(zero, x);
  ConstantPad1d constant1(Pad1d{1, 2}, 0.5);
  check_layer(constant1, s);
  ConstantPad2d constant2(1, 0.5);
  check_layer(constant2, x);
  ConstantPad3d constant3(Pad3d{.front = 1}, 0.5);
  check_layer(constant3, v);
  ReflectionPad1d reflection1(2);
  check_layer(reflection1, s);
  ReflectionPad2d reflection2(Pad2d{.bottom = 2, .left = 1});
  check_layer(reflection2, x);
  ReflectionPad3d reflection3(1);
  check_layer(reflection3, v);
  ReplicationPad1d replication1(Pad1d{.right = 3});
  check_layer(replication1, s);
  ReplicationPad2d replication2(2);
  check_layer(replication2, x);
  ReplicationPad3d replication3(Pad3d{1, 0, 2, 0, 3, 0});
  check_layer(replication3, v);
  CircularPad1d circular1(1);
  check_layer(circular1, s);
  CircularPad2d circular2(Pad2d{1, 2, 3, 0});
  check_layer(circular2, x);
  CircularPad3d circular3(2);
  check_layer(circular3, v);
}

TEST_CASE("clone: what cannot be copied is an error that says what to write") {
  struct Bare : Module {};
  CHECK_THROWS_WITH(Bare().clone(), Contains("override rebuilt() to return std::make_unique<Bare>("));
  struct Derived : Linear {
    Derived() : Linear(2, 2) {}
  };
  CHECK_THROWS_WITH(Derived().clone(), Contains("rebuilt() gave a Linear for a Derived"));
  Sequential holds_it;
  holds_it.add<Derived>();
  CHECK_THROWS_WITH(holds_it.clone(), Contains("rebuilt() gave a Linear for a Derived"));
  struct Nothing : Module {
    std::unique_ptr<Module> rebuilt() const override { return nullptr; }
  };
  CHECK_THROWS_WITH(Nothing().clone(), Contains("rebuilt() of Nothing gave none"));
  Net grown(2);
  grown.body.add<ReLU>();
  CHECK_THROWS_WITH(grown.clone(), Contains("a Sequential with other parameters, buffers or children"));
  struct Other : Module {
    explicit Other(std::int64_t n) : a(zeros({n})) { register_parameter("a", a); }
    std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Other>(2); }
    Tensor a;
  };
  CHECK_THROWS_WITH(Other(3).clone(), Contains("whose 'a' is [2], expected [3]"));
}

TEST_CASE("clone: a target network follows the one that learns") {
  Sequential online;
  online.add<Linear>(2, 2);
  const auto target = clone(online);
  target->requires_grad_(false);
  target->eval();
  SGD sgd(online.parameters(), {.lr = 0.1});
  const Tensor x = ones({1, 2});
  sum((online(x) - (*target)(x)) * 2 + online(x)).backward();
  sgd.step();
  CHECK(values(*target) != values(online));
  lerp_state_(*target, online, 1);
  CHECK(values(*target) == values(online));
}
