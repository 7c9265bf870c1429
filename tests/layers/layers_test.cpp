#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <sstream>
#include <thread>

#include <karyon/core/autocast.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/functional.h>
#include <karyon/layers/init.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/loss.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/pool.h>
#include <karyon/layers/resize.h>
#include <karyon/layers/sequential.h>
#include <karyon/layers/summary.h>

#include "op_check.h"

using namespace karyon;
using test::device;
using test::difference;

namespace {
double largest(const Tensor& x) {
  double out = 0;
  for (const double v : x.to_vector<double>()) out = std::max(out, std::abs(v));
  return out;
}
double deviation(const Tensor& x) {
  double sum = 0;
  for (const double v : x.to_vector<double>()) sum += v * v;
  return std::sqrt(sum / static_cast<double>(x.numel()));
}
// Of a layer that is where the tests compute.
template <class Layer>
Tensor on_device(Layer&& layer, const Tensor& x) {
  layer.to(device());
  return layer(x);
}
}  // namespace

TEST_CASE("init: fans of channels-last weights, and the promised spreads") {
  Tensor w = empty({64, 3, 5, 32});
  CHECK(fans(w).in == 3 * 5 * 32);
  CHECK(fans(w).out == 3 * 5 * 64);
  CHECK_THROWS_AS(fans(empty({3})), Error);
  kaiming_uniform_(w);
  CHECK(largest(w) == Approx(std::sqrt(6.0 / 480)).epsilon(1e-3));
  kaiming_normal_(w, {.mode = FanMode::out});
  CHECK(deviation(w) == Approx(std::sqrt(2.0 / 960)).epsilon(0.02));
  xavier_uniform_(w, 2);
  CHECK(largest(w) == Approx(2 * std::sqrt(6.0 / 1440)).epsilon(1e-3));
  xavier_normal_(w);
  CHECK(deviation(w) == Approx(std::sqrt(2.0 / 1440)).epsilon(0.02));
}

TEST_CASE("init: new layers are PyTorch's") {
  const Conv2d conv(32, 64, 3, {.groups = 2});
  CHECK(largest(conv.weight) == Approx(1 / std::sqrt(16.0 * 9)).epsilon(1e-2));
  CHECK(largest(conv.bias) <= 1 / std::sqrt(16.0 * 9));
  CHECK(largest(conv.bias) > 0.8 / std::sqrt(16.0 * 9));
  const ConvTranspose2d up(32, 64, 2);  // PyTorch takes its fan from the output channels
  CHECK(largest(up.weight) == Approx(1 / std::sqrt(64.0 * 4)).epsilon(1e-2));
  const Linear linear(50, 70);
  CHECK(largest(linear.weight) == Approx(1 / std::sqrt(50.0)).epsilon(1e-2));
  const BatchNorm2d norm(3);
  CHECK(norm.weight.to_vector<float>() == std::vector<float>{1, 1, 1});
  CHECK(norm.running_var.to_vector<float>() == std::vector<float>{1, 1, 1});
  CHECK(largest(norm.bias) + largest(norm.running_mean) == 0);
}

TEST_CASE("init: the same seed gives the same weights") {
  manual_seed(5);
  const Conv2d a(3, 4, 3);
  manual_seed(5);
  const Conv2d b(3, 4, 3);
  CHECK(a.weight.to_vector<float>() == b.weight.to_vector<float>());
  CHECK(a.bias.to_vector<float>() == b.bias.to_vector<float>());
}

TEST_CASE("init: a layer draws from its generator, and then leaves the common one alone") {
  manual_seed(5);
  const std::uint64_t position = default_generator().position();
  Generator a(5), b(5);
  const auto same = [](const Module& x, const Module& y) {
    for (const auto& [name, tensor] : x.state_dict())
      CHECK(tensor.to_vector<float>() == y.state_dict().at(name).to_vector<float>());
  };
  same(Conv2d(3, 4, 3, {.generator = &a}), Conv2d(3, 4, 3, {.generator = &b}));
  same(ConvTranspose2d(3, 4, 3, {.generator = &a}), ConvTranspose2d(3, 4, 3, {.generator = &b}));
  const Linear linear(3, 4, {.generator = &a}), again(3, 4, {.bias = false, .generator = &b});
  CHECK(linear.weight.to_vector<float>() == again.weight.to_vector<float>());
  CHECK(default_generator().position() == position);
  const Conv2d common(3, 4, 3);
  Generator c(5);
  same(common, Conv2d(3, 4, 3, {.generator = &c}));
}

TEST_CASE("init: threads that build networks at once get the same from generators of their own") {
  const auto build = [](Sequential& net, Generator* generator) {
    net.add<Conv2d>(3, 8, 3, {.generator = generator});
    net.add<Linear>(8, 2, {.generator = generator});
  };
  std::vector<Sequential> nets(5);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i)
    threads.emplace_back([&build, &net = nets[i], guarded = i < 2] {
      Generator mine(9);
      if (!guarded) return build(net, &mine);
      const GeneratorGuard guard(mine);
      build(net, nullptr);
    });
  for (std::thread& thread : threads) thread.join();
  Generator again(9);
  build(nets[4], &again);
  for (const auto& [name, tensor] : nets[4].state_dict())
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(nets[i].state_dict().at(name).to_vector<float>() == tensor.to_vector<float>());
}

TEST_CASE("layers: shapes") {
  const Tensor x = randn({2, 9, 7, 4}).to(device());
  CHECK(on_device(Conv2d(4, 6, 3), x).shape() == Shape{2, 7, 5, 6});
  CHECK(on_device(Conv2d(4, 6, 3, {.stride = 2, .padding = 1, .groups = 2, .bias = false}), x).shape() ==
        Shape{2, 5, 4, 6});
  CHECK(on_device(ConvTranspose2d(4, 3, 2, {.stride = 2}), x).shape() == Shape{2, 18, 14, 3});
  CHECK(on_device(BatchNorm2d(4), x).shape() == x.shape());
  CHECK(on_device(GroupNorm(2, 4), x).shape() == x.shape());
  CHECK(on_device(LayerNorm({4}), x).shape() == x.shape());
  CHECK(on_device(Linear(4, 5, {.bias = false}), x).shape() == Shape{2, 9, 7, 5});
  CHECK(on_device(MaxPool2d(2), x).shape() == Shape{2, 4, 3, 4});
  CHECK(on_device(AvgPool2d({.kernel_size = 3, .stride = 1}), x).shape() == Shape{2, 7, 5, 4});
  CHECK(on_device(AdaptiveAvgPool2d(1), x).shape() == Shape{2, 1, 1, 4});
  CHECK(on_device(Upsample({2, 3}, {.mode = InterpolateMode::bilinear}), x).shape() == Shape{2, 18, 21, 4});
  CHECK(on_device(Softmax(), x).shape() == x.shape());
}

TEST_CASE("layers: activations are the operations") {
  const Tensor x = randn({50}).to(device());
  CHECK(difference(ReLU()(x), relu(x)) == 0);
  CHECK(difference(LeakyReLU(0.2)(x), leaky_relu(x, 0.2)) == 0);
  CHECK(difference(Sigmoid()(x), sigmoid(x)) == 0);
  CHECK(difference(Tanh()(x), tanh(x)) == 0);
  CHECK(difference(Softplus({.beta = 2})(x), softplus(x, {.beta = 2})) == 0);
  CHECK(difference(SiLU()(x), silu(x)) == 0);
  CHECK(difference(GELU()(x), gelu(x)) == 0);
  CHECK(difference(Softmax(0)(x), softmax(x, 0)) == 0);
}

TEST_CASE("layers: batch norm counts batches, learns its statistics and fuses the relu") {
  BatchNorm2d plain(3), fused(3, {.relu = true});
  for (BatchNorm2d* norm : {&plain, &fused}) norm->to(device());
  const Tensor x = randn({4, 5, 6, 3}).to(device());
  CHECK(difference(fused(x), relu(plain(x))) < 1e-6);
  plain(x);
  CHECK(plain.num_batches_tracked.item<int>() == 2);
  CHECK(largest(plain.running_mean) > 0);
  plain.eval();
  const auto mean = plain.running_mean.to_vector<float>();
  plain(x);
  CHECK(plain.num_batches_tracked.item<int>() == 2);
  CHECK(plain.running_mean.to_vector<float>() == mean);
  CHECK_THROWS_WITH(plain(zeros({2, 3})), Catch::StartsWith("BatchNorm2d"));
  BatchNorm1d of_vectors(3);
  of_vectors.to(device());
  const Tensor rows = x.reshape({120, 3}), sequences = x.reshape({4, 30, 3});
  plain.train();
  CHECK(difference(of_vectors(rows), plain(x).reshape({120, 3})) == 0);
  CHECK(difference(of_vectors(sequences), plain(x).reshape({4, 30, 3})) == 0);
  CHECK_THROWS_WITH(of_vectors(x), Catch::StartsWith("BatchNorm1d: expects [N, C] or [N, L, C]"));
  CHECK_THROWS_WITH(BatchNorm1d(0), Catch::StartsWith("BatchNorm1d: expects at least 1 channel"));
  GroupNorm group(3, 3), group_relu(3, 3, {.relu = true});
  CHECK(difference(on_device(group_relu, x), relu(on_device(group, x))) < 1e-6);
}

TEST_CASE("layers: flatten joins dimensions, identity changes nothing, a function is a layer") {
  const Tensor x = randn({2, 3, 4, 5}).to(device());
  CHECK(Flatten()(x).shape() == Shape{2, 60});
  CHECK(Flatten()(x).to_vector<float>() == x.to_vector<float>());
  CHECK(Flatten(1, 2)(x).shape() == Shape{2, 12, 5});
  CHECK(Flatten(0)(x).shape() == Shape{120});
  CHECK(Flatten(-2)(x).shape() == Shape{2, 3, 20});
  CHECK(Flatten()(zeros({0, 3, 2})).shape() == Shape{0, 6});
  CHECK_THROWS_WITH(Flatten(2, 1)(x), Catch::Contains("expects start_dim <= end_dim"));
  CHECK_THROWS_WITH(Flatten()(zeros({3})), Catch::Contains("Flatten: dimension 1"));
  CHECK(Identity()(x).impl() == x.impl());
  CHECK(difference(Functional([](const Tensor& y) { return relu(y); })(x), relu(x)) == 0);
}

TEST_CASE("layers: dropout draws from its generator, and only while training") {
  Generator generator(1);
  Dropout layer(0.5, &generator);
  const Tensor x = ones({1000}, {.device = device()});
  const auto a = layer(x).to_vector<float>(), b = layer(x).to_vector<float>();
  CHECK(a != b);
  generator = Generator(1);
  CHECK(layer(x).to_vector<float>() == a);
  CHECK(std::count(a.begin(), a.end(), 0.0f) > 400);
  CHECK(std::count(a.begin(), a.end(), 2.0f) > 400);
  layer.eval();
  CHECK(layer(x).to_vector<float>() == x.to_vector<float>());
  CHECK_THROWS_AS(Dropout(1.5), Error);
}

TEST_CASE("layers: bad sizes are Errors that name the layer") {
  CHECK_THROWS_WITH(Conv2d(0, 1, 3), Catch::StartsWith("Conv2d"));
  CHECK_THROWS_WITH(Conv2d(3, 4, 3, {.groups = 2}), Catch::Contains("2 groups"));
  CHECK_THROWS_WITH(ConvTranspose2d(1, 1, 0), Catch::StartsWith("ConvTranspose2d"));
  CHECK_THROWS_AS(BatchNorm2d(0), Error);
  CHECK_THROWS_AS(GroupNorm(3, 4), Error);
  CHECK_THROWS_AS(Linear(0, 1), Error);
  CHECK_THROWS_AS(Upsample(0), Error);
}

TEST_CASE("layers: losses keep their options") {
  const Tensor x = randn({2, 3}).to(device()), t = tensor({0, 1, 1, 0, 0, 1}, {2, 3}, {.device = device()});
  const Tensor classes = arange(2).to(device());
  CHECK(BCEWithLogitsLoss()(x, t).item() == bce_with_logits(x, t).item());
  const BceOptions weighted{.pos_weight = tensor({3}, {.device = device()}), .reduction = Reduction::sum};
  CHECK(BCEWithLogitsLoss{weighted}(x, t).item() == bce_with_logits(x, t, weighted).item());
  CHECK(DiceLoss{{.smooth = 2}}(x, t).item() == dice_loss(x, t, {.smooth = 2}).item());
  CHECK(FocalLoss{{.gamma = 1}}(x, t).item() == focal_loss(x, t, {.gamma = 1}).item());
  CHECK(MSELoss()(x, t).item() == mse_loss(x, t).item());
  CHECK(L1Loss{Reduction::none}(x, t).shape() == x.shape());
  CHECK(CrossEntropyLoss()(x, classes).item() == cross_entropy(x, classes).item());
}

TEST_CASE("layers: under autocast results are bf16 where they multiply, parameters and their gradients f32") {
  const Tensor x = randn({2, 6, 8, 4}).to(device());
  const auto check_layer = [&](auto&& layer, const Tensor& in) {
    const AutocastGuard autocast(bf16);
    const Tensor y = on_device(layer, in);
    CHECK(y.dtype() == bf16);
    y.backward(ones_like(y));
    for (const Tensor& p : layer.parameters()) {
      CHECK(p.dtype() == f32);
      CHECK(p.grad().dtype() == f32);
      CHECK(largest(p.grad()) > 0);
    }
  };
  check_layer(Conv2d(4, 6, 3), x);
  check_layer(ConvTranspose2d(4, 3, 2, {.stride = 2}), x);
  check_layer(Linear(4, 5), x);
  const Tensor half = x.to(bf16) * 2.0 + 1.0;
  check_layer(GroupNorm(2, 4, {.relu = true}), half);
  check_layer(BatchNorm2d(4, {.relu = true}), half);
  BatchNorm2d norm(4);
  CHECK(on_device(norm, x).dtype() == f32);
  on_device(norm, half);
  CHECK(norm.running_mean.dtype() == f32);
  CHECK(on_device(MaxPool2d(2), half).dtype() == bf16);
  CHECK(on_device(Upsample(2), half).dtype() == bf16);
  CHECK(on_device(Softmax(), half).dtype() == f32);
  CHECK(on_device(Dropout(0.5), half).dtype() == bf16);
}

TEST_CASE("summary: counts by hand, and modes as they were") {
  Sequential net;
  net.add<Conv2d>(3, 8, 3, {.padding = 1});
  net.add<BatchNorm2d>(8);
  net.add<MaxPool2d>(2);
  net.add<ConvTranspose2d>(8, 4, 2, {.stride = 2});
  net.add<Linear>(4, 2);
  net[1].eval();
  const Summary s = summary(net, {1, 6, 4, 3});
  REQUIRE(s.rows.size() == 5);
  CHECK(s.rows[0].name == "0");
  CHECK(s.rows[0].type == "Conv2d");
  CHECK(s.rows[0].output == Shape{1, 6, 4, 8});
  CHECK(s.rows[0].parameters == 8 * 27 + 8);
  CHECK(s.rows[0].multiply_adds == 24 * 8 * 27);
  CHECK(s.rows[0].activation_bytes == 24 * 8 * 4);
  CHECK(s.rows[1].parameters == 16);
  CHECK(s.rows[3].multiply_adds == 6 * 8 * 16);
  CHECK(s.rows[4].multiply_adds == 24 * 4 * 2);
  CHECK(s.parameters == 224 + 16 + 8 * 4 * 4 + 4 + 10);
  CHECK(s.multiply_adds == 24 * 8 * 27 + 6 * 8 * 16 + 24 * 4 * 2);
  CHECK(s.activation_bytes == 4 * (192 + 192 + 48 + 96 + 48));
  CHECK(net.is_training());
  CHECK_FALSE(net[1].is_training());
  CHECK(net[2].is_training());
  std::ostringstream os;
  os << s;
  CHECK_THAT(os.str(),
             Catch::Contains("Conv2d") && Catch::Contains("[1, 6, 4, 8]") && Catch::Contains("382"));
}
