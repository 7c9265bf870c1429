#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/karyon.h>

#include "op_check.h"

using namespace karyon;
using Catch::Contains;
using test::device;
using test::difference;

namespace {

template <class Pairs>
std::vector<std::string> names(const Pairs& pairs) {
  std::vector<std::string> out;
  for (const auto& [name, value] : pairs) out.push_back(name);
  return out;
}
using Names = std::vector<std::string>;

// Running statistics, weights and biases that are not 0 and 1.
void stir(Module& net) {
  const NoGradGuard no_grad;
  Generator generator(5);
  for (auto& [name, x] : net.state_dict())
    if (x.dtype() == f32) uniform_(x, 0.3, 1.2, generator);
}

struct Counter : CallObserver {
  std::vector<std::string> types;
  void called(const Module& module, const Shape&, const Tensor&) override { types.push_back(module.type()); }
};

}  // namespace

TEST_CASE("sequential: every layer is added with its arguments and its options in braces") {
  Sequential net;
  CHECK(net.add<Conv2d>(4, 8, 3, {.padding = 1, .bias = false}).options.padding == Pair(1));
  CHECK(net.add<Conv2d>(8, 8, {3, 1}, {.padding = {1, 0}}).weight.shape() == Shape{8, 3, 1, 8});
  CHECK(net.add<Conv2d>(8, 8, 1).bias.defined());
  CHECK(net.add<BatchNorm2d>(8, {.relu = true}).options.relu);
  CHECK(net.add<BatchNorm2d>(8).options.momentum == 0.1);
  CHECK(net.add<GroupNorm>(4, 8, {.relu = true}).options.relu);
  CHECK(net.add<GroupNorm>(4, 8).num_groups == 4);
  CHECK_FALSE(net.add<LayerNorm>(Shape{8}, {.elementwise_affine = false}).weight.defined());
  net.add<LayerNorm>(Shape{8});
  net.add<LayerNorm>({8});
  CHECK(net.add<LayerNorm>({8}, {.eps = 1e-3}).options.eps == 1e-3);
  CHECK_FALSE(net.add<ConvTranspose2d>(8, 4, 2, {.stride = 2, .bias = false}).bias.defined());
  net.add<ConvTranspose2d>(4, 4, 1);
  net.add<MaxPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
  net.add<MaxPool2d>(2);
  net.add<AvgPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
  net.add<AvgPool2d>(2);
  net.add<Upsample>(2, {.mode = InterpolateMode::bilinear});
  net.add<Upsample>({2, 1}, {.align_corners = false});
  net.add<Upsample>(Pair{1, 2});
  net.add<Upsample>({1, 1});
  net.add<Dropout>(0.1);
  net.add<ReLU>();
  net.add<LeakyReLU>(0.1);
  net.add<Sigmoid>();
  net.add<Tanh>();
  net.add<Softplus>({.beta = 2});
  net.add<Softplus>();
  net.add<SiLU>();
  net.add<GELU>();
  net.add<Linear>(4, 6, {.bias = false});
  net.add<Linear>(6, 2);
  net.add<Softmax>(-1);
  net.add<Softmax>();
  net.add<AdaptiveAvgPool2d>({2, 2});
  net.add<AdaptiveAvgPool2d>(1);
  net.add<Identity>();
  net.add([](Tensor x) { return neg(x); });
  net.add(neg);
  net.add<UNet>({.in_channels = 2, .base_width = 4, .depth = 1});
  net.to(device());
  const Tensor x = randn({2, 8, 6, 4}).to(device());
  CHECK(net(x).shape() == Shape{2, 1, 1, 1});
  CHECK(net.size() == 40);
}

TEST_CASE("sequential: what was built elsewhere is added as it is") {
  Sequential net;
  auto conv = std::make_unique<Conv2d>(1, 2, 3);
  Conv2d* const built = conv.get();
  CHECK(&net.add(std::move(conv)) == built);
  std::unique_ptr<Module> any = std::make_unique<ReLU>();
  net.add(std::move(any));
  CHECK_THROWS_WITH(net.add(std::unique_ptr<Conv2d>()), Contains("add() expects a module, got none"));
  CHECK_THROWS_WITH(net.add(std::function<Tensor(Tensor)>()), Contains("expects a function, got none"));
  CHECK(net[0].type() == "Conv2d");
  CHECK(net[1].type() == "ReLU");
  CHECK(names(net.state_dict()) == Names{"0.bias", "0.weight"});
  CHECK_THROWS_WITH(net[2], Contains("Sequential: module 2 of 2"));
}

TEST_CASE("module list: names as PyTorch's, in the order of the list") {
  struct Net : Module {
    Net() {
      blocks.add(2, 2);
      blocks.add(std::make_unique<Linear>(2, 3, Linear::Options{.bias = false}));
      register_module("blocks", blocks);
      layers.add<Conv2d>(1, 1, 1);
      layers.add<ReLU>();
      register_module("layers", layers);
    }
    Tensor forward(Tensor x) override {
      for (Linear& block : blocks) x = block(std::move(x));
      return x;
    }
    ModuleList<Linear> blocks;
    ModuleList<Module> layers;
  } net;
  CHECK(names(net.named_parameters()) ==
        Names{"blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "layers.0.weight", "layers.0.bias"});
  CHECK(net.blocks.type() == "ModuleList");
  CHECK(net.blocks.size() == 2);
  CHECK(net.blocks[1].weight.shape() == Shape{3, 2});
  CHECK(net(zeros({1, 2})).shape() == Shape{1, 3});
  net.eval();
  CHECK_FALSE(net.blocks[1].is_training());
  CHECK_THROWS_WITH(net.blocks[2], Contains("module 2 of 2"));
}

TEST_CASE(
    "sequential: inference computes a convolution with what follows it, and gives what the layers give") {
  for (const bool norm : {false, true})
    for (const bool relu_of_norm : {false, true})
      for (const bool relu : {false, true})
        for (const bool bias : {false, true}) {
          INFO(norm << relu_of_norm << relu << bias);
          Sequential net;
          net.add<Conv2d>(3, 17, 3, {.padding = 1, .bias = bias});
          if (norm) net.add<BatchNorm2d>(17, {.relu = relu_of_norm});
          if (relu) net.add<ReLU>();
          net.add<Conv2d>(17, 4, 1);
          net.add<Tanh>();
          stir(net);
          net.to(device());
          net.eval();
          const Tensor x = randn({2, 9, 12, 3}).to(device());
          const Tensor expected = net(x).detach();
          const NoGradGuard no_grad;
          const Tensor y = net(x);
          CHECK_FALSE(y.requires_grad());
          CHECK(difference(y, expected) < 2e-5);
        }
}

TEST_CASE("sequential: fuses at inference alone, and only what it knows") {
  struct Negated : BatchNorm2d {
    using BatchNorm2d::BatchNorm2d;
    Tensor forward(Tensor x) override { return neg(BatchNorm2d::forward(std::move(x))); }
  };
  Sequential net;
  net.add<Conv2d>(2, 4, 3);
  net.add<Negated>(4);
  net.add<ReLU>();
  net.add<Conv2d>(4, 4, 1);
  net.add<BatchNorm2d>(4);
  net.add<ReLU>();
  stir(net);
  net.to(device());
  const Tensor x = randn({2, 5, 5, 2}).to(device());
  net.eval();
  const Tensor expected = net(x).detach();
  {
    const NoGradGuard no_grad;
    CHECK(difference(net(x), expected) < 1e-5);
    Counter counter;
    CHECK(difference(net(x), expected) == 0);
    CHECK(counter.types == Names{"Conv2d", "Negated", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Sequential"});
    CHECK(summary(net, {2, 5, 5, 2}).rows.size() == 6);
  }
  // In training the norms go by the batch, also without a gradient.
  net.train();
  const NoGradGuard no_grad;
  const double before = net.state_dict().at("4.running_mean").to_vector<double>()[0];
  net(x);
  CHECK(net.state_dict().at("4.num_batches_tracked").item<int>() == 1);
  CHECK(net.state_dict().at("4.running_mean").to_vector<double>()[0] != before);
  // Channels that do not agree are the norm's error.
  Sequential wrong;
  wrong.add<Conv2d>(2, 4, 3);
  wrong.add<BatchNorm2d>(5);
  wrong.to(device());
  wrong.eval();
  CHECK_THROWS_WITH(wrong(x), Contains("batch_norm"));
}

TEST_CASE("sequential: a residual is added in the last step of the last convolution") {
  Generator generator(11);
  Sequential net;
  net.add<ConvNormActivation>(6, 16, 1, {.activation = ActivationKind::relu6});
  net.add<ConvNormActivation>(16, 16, 3, {.groups = 16, .activation = ActivationKind::hardswish});
  net.add<SqueezeExcitation>(16, 4, {.activation = ActivationKind::silu, .hardsigmoid = true});
  net.add<ConvNormActivation>(16, 6, 1, {.activation = ActivationKind::none});
  net.eval();
  const Tensor x = randn({2, 9, 7, 6}, generator);
  const Tensor recorded = net.forward(x, x);  // layers one by one, with a graph
  CHECK(recorded.requires_grad());
  const NoGradGuard no_grad;
  const std::int64_t before = fused_conv_calls();
  const Tensor folded = net.forward(x, x);
  CHECK(fused_conv_calls() - before == 4);  // and fc1
  CHECK(test::difference(folded, recorded.detach().to(f64)) < 1e-5);
  CHECK(test::difference(folded, (net(x) + x).to(f64)) < 1e-5);

  // A module at the end that adds nothing by itself.
  net.add<ReLU>();
  CHECK(test::difference(net.forward(x, x), (net(x) + x).to(f64)) < 1e-5);
}

TEST_CASE("sequential: a norm that is folded follows its changes") {
  Generator generator(14);
  Sequential net;
  auto& conv = net.add<Conv2d>(3, 4, 3);
  auto& norm = net.add<BatchNorm2d>(4);
  net.eval();
  const NoGradGuard no_grad;
  const Tensor x = randn({1, 6, 6, 3}, generator);
  const auto same = [&] { return test::difference(net(x), norm(conv(x)).to(f64)) < 1e-5; };
  CHECK(same());
  CHECK(same());
  for (Tensor values : {norm.running_mean, norm.running_var, norm.weight, norm.bias, conv.bias}) {
    uniform_(values, 0.5, 2, generator);
    CHECK(same());
    values.data<float>()[1] = 3;  // by a pointer
    CHECK(same());
  }
  std::swap(norm.running_mean, norm.running_var);
  CHECK(same());
  net.to(f64);
  CHECK(test::difference(net(x.to(f64)), norm(conv(x.to(f64)))) < 1e-12);
}

TEST_CASE("blocks: squeeze-and-excitation is what its formula says") {
  Generator generator(12);
  SqueezeExcitation block(6, 2);
  const NoGradGuard no_grad;
  const Tensor x = randn({2, 5, 4, 6}, generator);
  const Tensor hidden = relu(linear(x.mean({1, 2}), block.fc1.weight.reshape({2, 6}), block.fc1.bias));
  const Tensor gate = sigmoid(linear(hidden, block.fc2.weight.reshape({6, 2}), block.fc2.bias));
  CHECK(test::difference(block(x), (x * gate.reshape({2, 1, 1, 6})).to(f64)) < 1e-5);
}

TEST_CASE("blocks: stochastic depth leaves out images and keeps the mean") {
  Generator generator(13);
  StochasticDepth block(0.25, &generator);
  const Tensor y = block(ones({4000, 2, 1, 3}));
  const std::vector<float> values = y.to_vector<float>();
  for (std::size_t i = 0; i < values.size(); i += 6) {
    CHECK((values[i] == 0 || std::abs(values[i] - 4.0f / 3) < 1e-6f));
    CHECK(std::count(values.begin() + static_cast<std::ptrdiff_t>(i),
                     values.begin() + static_cast<std::ptrdiff_t>(i) + 6, values[i]) == 6);
  }
  CHECK(y.mean().item() == Approx(1).margin(0.03));
  CHECK(StochasticDepth(1.0)(ones({2, 2})).to_vector<float>() == std::vector<float>(4, 0));
  block.eval();
  CHECK(block(ones({2, 2})).to_vector<float>() == std::vector<float>(4, 1));
  CHECK_THROWS_WITH(StochasticDepth(1.5), Contains("probability in [0, 1]"));
}

TEST_CASE("linear: an activation, a scale and a residual follow in the same pass") {
  Generator generator(3);
  Linear layer(18, 21, {.generator = &generator});
  const Shape shape = GENERATE(Shape{5, 18}, Shape{2, 3, 7, 18}, Shape{0, 18}, Shape{18});
  Shape out = shape;
  out[shape.dims() - 1] = 21;
  const Tensor x = randn(shape, generator), scale = randn({21}, generator), residual = randn(out, generator);
  for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::gelu})
    for (const bool whole : {false, true}) {
      const Tensor factor = whole ? scale : Tensor(), added = whole ? residual : Tensor();
      const Tensor recorded = linear_activation(layer, kind, x, factor, added);
      CHECK(recorded.requires_grad());
      const NoGradGuard no_grad;
      CHECK(can_fuse(layer, x) == (shape.dims() > 1 && shape[0] > 0));
      CHECK(test::difference(linear_activation(layer, kind, x, factor, added), recorded.detach().to(f64)) <
            1e-5);
    }
  const NoGradGuard no_grad;
  CHECK_FALSE(can_fuse(layer, x.to(f64)));  // linear() says what does not go together
  layer.to(f64);
  CHECK_FALSE(can_fuse(layer, x.to(f64)));
  layer.to(f32);
  if (shape[0] == 5)
    CHECK_THROWS_WITH(linear_activation(layer, ActivationKind::none, x, {}, zeros({1, 21})),
                      Contains("expects a residual [5, 21]"));
}

TEST_CASE("sequential: linear layers take the activation that follows") {
  Generator generator(4);
  Sequential net;
  net.add<Linear>(20, 24, LinearLayerOptions{.generator = &generator});
  net.add<GELU>();
  net.add<Linear>(24, 17, LinearLayerOptions{.generator = &generator});
  net.add<GELU>(GELU::Options{.approximate = GeluApproximate::tanh});
  const Tensor x = randn({3, 7, 20}, generator), recorded = net(x).detach();
  const NoGradGuard no_grad;
  CHECK(test::difference(net(x), recorded.to(f64)) < 1e-5);
  CHECK(test::difference(net(x), recorded.to(f64)) < 1e-5);  // with kept weights
}
