#include <catch2/catch.hpp>
#include <cstdlib>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/parallel.h>
#include <karyon/core/storage.h>

#include "bf16_check.h"

using namespace karyon;
using namespace karyon::test;

namespace {

Tensor random(const Shape& shape, std::uint64_t seed, double mean = 0, double std = 1) {
  Generator generator(seed);
  Tensor x = empty(shape);
  return normal_(x, mean, std, generator);
}

double value(const Tensor& x, std::int64_t i, double otherwise) {
  return x.defined() ? x.data<double>()[i] : otherwise;
}

// (x - mean) / sqrt(var + eps), where group(i) says which values are normalized together.
template <class Group>
std::vector<double> normalized(const Tensor& x, std::int64_t groups, double eps, Group group) {
  const auto n = static_cast<std::size_t>(groups);
  std::vector<double> mean(n), var(n), count(n), out;
  const double* v = x.data<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    mean[group(i)] += v[i];
    count[group(i)] += 1;
  }
  for (std::size_t g = 0; g < n; ++g) mean[g] /= count[g];
  for (std::int64_t i = 0; i < x.numel(); ++i)
    var[group(i)] += std::pow(v[i] - mean[group(i)], 2) / count[group(i)];
  for (std::int64_t i = 0; i < x.numel(); ++i)
    out.push_back((v[i] - mean[group(i)]) / std::sqrt(var[group(i)] + eps));
  return out;
}

Tensor batch_reference(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, bool relu) {
  const std::int64_t c = x.size(-1);
  auto out = normalized(x, c, eps, [c](std::int64_t i) { return static_cast<std::size_t>(i % c); });
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    double& y = out[static_cast<std::size_t>(i)];
    y = y * value(weight, i % c, 1) + value(bias, i % c, 0);
    if (relu) y = std::max(y, 0.0);
  }
  return tensor(out, x.shape(), {.dtype = f64});
}

// No output of batch norm closer to relu's kink than finite differences reach: moves the bias until so.
Tensor clear_bias(const Tensor& x, const Tensor& weight) {
  const std::int64_t c = x.size(-1);
  const Tensor y = batch_reference(x.to(f64), weight.to(f64), Tensor(), 1e-5, false);
  std::vector<double> bias;
  for (std::int64_t k = 0; k < c; ++k) {
    double b = 0.1;
    for (bool clear = false; !clear;) {
      clear = true;
      for (std::int64_t i = k; i < x.numel(); i += c)
        clear = clear && std::abs(y.data<double>()[i] + b) > 2e-3;
      if (!clear) b += 0.00317;
    }
    bias.push_back(b);
  }
  return tensor(bias);
}

const std::vector<Shape> shapes = {{2, 3, 5, 7}, {2, 1},  {7, 1},        {1, 2, 1, 3},
                                   {2, 9, 8, 1}, {3, 37}, {1, 13, 11, 6}};

}  // namespace

TEST_CASE("batch_norm by the batch, with and without weight, bias and relu") {
  for (const Shape& shape : shapes) {
    const std::int64_t c = shape[shape.dims() - 1];
    const Tensor x = random(shape, 1, 0.5, 2), weight = random({c}, 2, 1, 0.5), bias = clear_bias(x, weight);
    for (bool relu : {false, true})
      check_op(
          relu ? "batch_norm, relu" : "batch_norm",
          [&](const std::vector<Tensor>& in) {
            return batch_norm(in[0], in[1], in[2], {}, {}, {.training = true, .relu = relu});
          },
          [&](const std::vector<Tensor>& in) { return batch_reference(in[0], in[1], in[2], 1e-5, relu); },
          {x, weight, bias}, {.parameters_from = 1});
  }
  check_op(
      "batch_norm, bare",
      [](const std::vector<Tensor>& in) { return batch_norm(in[0], {}, {}, {}, {}, {.eps = 0.1}); },
      [](const std::vector<Tensor>& in) { return batch_reference(in[0], {}, {}, 0.1, false); },
      {random({2, 3, 4, 5}, 3)});
}

TEST_CASE("batch_norm by the running statistics") {
  const Tensor mean = tensor({0.5, -1, 2}), var = tensor({0.25, 4, 1});
  for (bool relu : {false, true})
    check_op(
        "batch_norm, eval",
        [&](const std::vector<Tensor>& in) {
          auto as = [&](const Tensor& t) { return t.to(parameter_dtype(in[0].dtype())).to(in[0].device()); };
          return batch_norm(in[0], in[1], in[2], as(mean), as(var), {.relu = relu});
        },
        [&](const std::vector<Tensor>& in) {
          Tensor y = in[0].clone();
          const auto m = mean.to_vector<double>(), v = var.to_vector<double>();
          for (std::int64_t i = 0; i < y.numel(); ++i) {
            const auto k = static_cast<std::size_t>(i % 3);
            double& out = y.data<double>()[i];
            out = (out - m[k]) / std::sqrt(v[k] + 1e-5) * in[1].data<double>()[k] + in[2].data<double>()[k];
            if (relu) out = std::max(out, 0.0);
          }
          return y;
        },
        {random({2, 3, 5, 3}, 4), tensor({1, 0.5, -2}), tensor({0.1, 0.2, 0.3})}, {.parameters_from = 1});
  CHECK(batch_norm(zeros({0, 4, 4, 3}), {}, {}, mean, var).shape() == Shape{0, 4, 4, 3});
}

TEST_CASE("batch_norm_affine is what batch_norm does in evaluation") {
  Generator generator(3);
  const Tensor x = randn({2, 3, 4}, generator).to(device()), mean = randn({4}, generator).to(device()),
               var = rand({4}, generator).to(device());
  for (const bool affine : {false, true}) {
    const Tensor weight = affine ? randn({4}, generator).to(device()) : Tensor();
    const Tensor bias = affine ? randn({4}, generator).to(device()) : Tensor();
    const auto [scale, shift] = batch_norm_affine(weight, bias, mean, var, 1e-3);
    const Tensor expected = batch_norm(x, weight, bias, mean, var, {.eps = 1e-3});
    CHECK(difference(x * scale + shift, expected) < 1e-5);
  }
}

TEST_CASE("batch_norm moves the running statistics, the variance unbiased") {
  const Tensor x = tensor({1, 10, 3, 30, 8, 20}, {3, 2});
  for (DType dtype : {f32, f64}) {
    Tensor mean = tensor({1, -1}, {.dtype = dtype}), var = tensor({2, 0.5}, {.dtype = dtype});
    const std::uint64_t version = mean.version();
    batch_norm(x.to(dtype), {}, {}, mean, var, {.training = true, .momentum = 0.25});
    // Column 0: mean 4, squared deviations 9 + 1 + 16 = 26; column 1: mean 20, 200.
    CHECK(mean.to_vector<float>() == std::vector<float>{0.75f * 1 + 0.25f * 4, 0.75f * -1 + 0.25f * 20});
    CHECK(var.to_vector<float>() == std::vector<float>{0.75f * 2 + 0.25f * 13, 0.75f * 0.5f + 0.25f * 100});
    CHECK(mean.version() > version);
    batch_norm(x.to(dtype), {}, {}, mean, var, {.momentum = 0.25});
    CHECK(mean.to_vector<float>()[0] == 1.75f);
  }
}

TEST_CASE("batch_norm agrees with PyTorch") {
  // x = torch.arange(12.).reshape(2, 2, 3).sin().requires_grad_(); rm, rv = torch.zeros(3), torch.ones(3)
  // w = torch.tensor([1., 2., 3.], requires_grad=True)
  // y = torch.nn.functional.batch_norm(x.permute(0, 2, 1), rm, rv, w, torch.ones(3), True)
  // (y * torch.arange(12.).reshape(2, 2, 3).permute(0, 2, 1)).sum().backward()
  std::vector<double> values;
  for (int i = 0; i < 12; ++i) values.push_back(std::sin(i));
  Tensor x = tensor(values, {2, 2, 3}).requires_grad_(), w = tensor({1, 2, 3}).requires_grad_();
  Tensor rm = zeros({3}), rv = ones({3});
  const Tensor y = batch_norm(x, w, ones({3}), rm, rv, {.training = true});
  y.backward(arange(12).to(f32).reshape({2, 2, 3}));
  CHECK(difference(y.detach(), tensor({0.72569638, 3.2410254, 3.8738959, 1.2911671, -1.2810566, -1.9345148,
                                       -0.39392722, 2.7190537, 4.1228099, 2.3770638, -0.67902279, -2.062191},
                                      {2, 2, 3})) < 1e-5);
  CHECK(difference(x.grad(), tensor({-16.684181, -8.1192474, -9.6159325, -7.4407783, -8.9392786, -9.1306963,
                                     12.857665, 7.7824721, 9.4173307, 11.267294, 9.2760534, 9.3292971},
                                    {2, 2, 3})) < 1e-5);
  CHECK(difference(w.grad(), tensor({4.9035115, -5.8200264, -5.8754692})) < 1e-5);
  CHECK(difference(rm, tensor({0.0068455758, 0.0049408479, -0.0015064717})) < 1e-6);
  CHECK(difference(rv, tensor({0.90830284, 0.96662164, 1.024142})) < 1e-6);
}

TEST_CASE("batch_norm keeps its digits far from zero and over many rows") {
  // 300,000 rows around 1,000: naive sums of squares in float would lose the variance.
  Tensor x = random({300000, 2}, 5, 1000, 0.5), mean = zeros({2}), var = zeros({2});
  batch_norm(x, {}, {}, mean, var, {.training = true, .momentum = 1});
  const auto v = x.to_vector<double>();
  for (std::size_t k = 0; k < 2; ++k) {
    double m = 0, m2 = 0;
    for (std::size_t i = k; i < v.size(); i += 2) m += v[i] / 300000;
    for (std::size_t i = k; i < v.size(); i += 2) m2 += (v[i] - m) * (v[i] - m) / 299999;
    CHECK(mean.to_vector<double>()[k] == Approx(m).epsilon(1e-7));
    CHECK(var.to_vector<double>()[k] == Approx(m2).epsilon(1e-5));
  }
}

TEST_CASE("batch_norm with relu fused equals relu after it, bit for bit, and skips what nobody wants") {
  const Tensor input = random({2, 33, 31, 20}, 6), weight = random({20}, 7), bias = random({20}, 8);
  const Tensor dy = random(input.shape(), 9);
  Tensor a = input.clone().requires_grad_(), b = input.clone().requires_grad_();
  const Tensor fused = batch_norm(a, weight, bias, {}, {}, {.training = true, .relu = true});
  const Tensor plain = batch_norm(b, weight, bias, {}, {}, {.training = true});
  Tensor clipped = plain.detach().clone(), masked = dy.clone();
  for (std::int64_t i = 0; i < clipped.numel(); ++i) {
    float& y = clipped.data<float>()[i];
    if (y <= 0) y = masked.data<float>()[i] = 0;
  }
  CHECK(fused.to_vector<float>() == clipped.to_vector<float>());
  fused.backward(dy);
  plain.backward(masked);
  CHECK(a.grad().to_vector<float>() == b.grad().to_vector<float>());

  Tensor only_bias = bias.clone().requires_grad_();
  batch_norm(input, weight, only_bias, {}, {}, {.training = true}).backward(ones_like(input));
  for (float g : only_bias.grad().to_vector<float>()) CHECK(g == 2 * 33 * 31);
}

TEST_CASE("group_norm") {
  struct Case {
    Shape shape;
    std::int64_t groups;
  };
  for (const Case& c : std::vector<Case>{
           {{2, 3, 5, 6}, 2}, {{1, 4, 4, 7}, 1}, {{3, 5, 6}, 6}, {{2, 8}, 4}, {{2, 7, 7, 40}, 8}}) {
    const std::int64_t channels = c.shape[c.shape.dims() - 1], image = c.shape.numel() / c.shape[0];
    const std::int64_t width = channels / c.groups;
    const Op reference = [&](const std::vector<Tensor>& in) {
      auto out = normalized(in[0], c.shape[0] * c.groups, 1e-5, [&](std::int64_t i) {
        return static_cast<std::size_t>(i / image * c.groups + i % channels / width);
      });
      for (std::int64_t i = 0; i < in[0].numel(); ++i)
        out[static_cast<std::size_t>(i)] =
            out[static_cast<std::size_t>(i)] * value(in[1], i % channels, 1) + value(in[2], i % channels, 0);
      return tensor(out, c.shape, {.dtype = f64});
    };
    const Op op = [&](const std::vector<Tensor>& in) { return group_norm(in[0], c.groups, in[1], in[2]); };
    const Tensor x = random(c.shape, 10, 1, 2);
    check_op("group_norm", op, reference, {x, random({channels}, 11), random({channels}, 12)},
             {.parameters_from = 1});
    check_op("group_norm, bare", op, reference, {x, {}, {}});
  }
  CHECK(group_norm(zeros({0, 3, 3, 4}), 2).shape() == Shape{0, 3, 3, 4});
}

TEST_CASE("instance_norm") {
  for (const Shape& shape : {Shape{2, 5, 3}, Shape{1, 3, 4, 17}, Shape{2, 2, 3, 2, 1}}) {
    const std::int64_t c = shape[shape.dims() - 1];
    const Op reference = [&](const std::vector<Tensor>& in) { return group_norm(in[0], c, in[1], in[2]); };
    const Op op = [&](const std::vector<Tensor>& in) { return instance_norm(in[0], in[1], in[2]); };
    check_op("instance_norm", op, reference, {random(shape, 10), random({c}, 11), random({c}, 12)},
             {.parameters_from = 1});
  }
  CHECK(instance_norm(zeros({0, 3, 4})).shape() == Shape{0, 3, 4});
  CHECK_THROWS_WITH(instance_norm(ones({2, 3})), Catch::Contains("instance_norm: expects x [N, ..., C]"));
  CHECK_THROWS_WITH(instance_norm(ones({2, 1, 1, 3})), Catch::Contains("more than one position"));
  CHECK_THROWS_WITH(instance_norm(ones({2, 4, 3}), ones({2})),
                    Catch::Contains("instance_norm: weight expects"));
}

TEST_CASE("layer_norm") {
  struct Case {
    Shape shape, normalized_shape;
  };
  for (const Case& c :
       std::vector<Case>{{{2, 3, 5}, {5}}, {{2, 3, 5}, {3, 5}}, {{4, 1}, {1}}, {{3, 67}, {67}}, {{7}, {7}}}) {
    const std::int64_t d = c.normalized_shape.numel();
    const Op reference = [&](const std::vector<Tensor>& in) {
      auto out = normalized(in[0], c.shape.numel() / d, 1e-5,
                            [&](std::int64_t i) { return static_cast<std::size_t>(i / d); });
      for (std::int64_t i = 0; i < in[0].numel(); ++i)
        out[static_cast<std::size_t>(i)] =
            out[static_cast<std::size_t>(i)] * value(in[1], i % d, 1) + value(in[2], i % d, 0);
      return tensor(out, c.shape, {.dtype = f64});
    };
    const Op op = [&](const std::vector<Tensor>& in) {
      return layer_norm(in[0], c.normalized_shape, in[1], in[2]);
    };
    const Tensor x = random(c.shape, 13, -1, 3);
    check_op("layer_norm", op, reference, {x, random(c.normalized_shape, 14), random(c.normalized_shape, 15)},
             {.parameters_from = 1});
    check_op("layer_norm, bare", op, reference, {x, {}, {}});
  }
  // Of nothing: the parameters' gradients are zero.
  const Tensor w = ones({3}).requires_grad_(), b = zeros({3}).requires_grad_(),
               y = layer_norm(zeros({0, 3}), {3}, w, b);
  CHECK(y.shape() == Shape{0, 3});
  y.backward(y.detach());
  for (const Tensor& parameter : {w, b})
    CHECK(parameter.grad().to_vector<float>() == std::vector<float>(3, 0));
}

TEST_CASE("normalization gives the same bits with any number of threads") {
  const Tensor x = random({3, 61, 67, 24}, 16);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (int which = 0; which < 3; ++which) {
      Tensor in = x.clone().requires_grad_(), w = random({24}, 17).requires_grad_(),
             b = random({24}, 18).requires_grad_();
      const Tensor y = which == 0   ? batch_norm(in, w, b, {}, {}, {.training = true, .relu = true})
                       : which == 1 ? group_norm(in, 4, w, b)
                                    : layer_norm(in, {24}, w, b);
      y.backward(random(x.shape(), 19));
      for (const Tensor& t : {y, in.grad(), w.grad(), b.grad()}) out.push_back(t);
    }
    return out;
  }));
}

TEST_CASE("normalization errors say what was expected and what came") {
  using Catch::Contains;
  const Tensor x = zeros({2, 4, 4, 6}), c = zeros({6});
  CHECK_THROWS_WITH(batch_norm(zeros({1, 1, 1, 6}), {}, {}, {}, {}, {.training = true}),
                    Contains("more than one value per channel") && Contains("[1, 1, 1, 6]"));
  CHECK_THROWS_WITH(batch_norm(zeros({0, 6}), {}, {}, {}, {}), Contains("more than one value"));
  CHECK_THROWS_WITH(batch_norm(x, zeros({5}), {}, {}, {}),
                    Contains("batch_norm: weight expects f32[6], got f32[5]"));
  CHECK_THROWS_WITH(batch_norm(x, c, c.to(f64), {}, {}), Contains("bias expects f32[6], got f64[6]"));
  CHECK_THROWS_WITH(batch_norm(x, c, c, c, {}), Contains("both running_mean and running_var"));
  CHECK_THROWS_WITH(batch_norm(x.to(i64), {}, {}, {}, {}), Contains("f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(batch_norm(c, {}, {}, {}, {}), Contains("at least 2 dimensions, got [6]"));
  CHECK_THROWS_WITH(group_norm(x, 4), Contains("divisible by 4 groups"));
  CHECK_THROWS_WITH(group_norm(zeros({2, 0, 4}), 2), Contains("values to normalize, got [2, 0, 4]"));
  CHECK_THROWS_WITH(group_norm(x, 2, zeros({3})), Contains("group_norm: weight"));
  CHECK_THROWS_WITH(layer_norm(x, {4}), Contains("to end in [4], got [2, 4, 4, 6]"));
  CHECK_THROWS_WITH(layer_norm(zeros({6}), {2, 6}), Contains("to end in [2, 6]"));
  CHECK_THROWS_WITH(layer_norm(x, {6}, {}, zeros({1, 6})), Contains("layer_norm: bias"));
}

TEST_CASE("batch norm takes the moments that a convolution computed while it wrote") {
  // Whole tiles, tiles beyond the image, tiles of 2 x 2, one unit of tiles; means far from zero.
  const auto [n, size, out, offset] = GENERATE(table<std::int64_t, std::int64_t, std::int64_t, double>(
      {{4, 32, 32, 0}, {2, 45, 48, 1}, {40, 2, 16, 0}, {1, 16, 64, 30}}));
  Generator generator(21);
  const Tensor x = randn({n, size, size, 16}, generator) + offset,
               w = (randn({out, 3, 3, 16}, generator) * 0.1).requires_grad_();
  const Tensor y = conv2d(x, w, {}, {.padding = 1});
  const bool kept = y.impl()->storage->cache<cpu::ChannelMoments>() != nullptr;
  CHECK(kept == (std::getenv("KARYON_CONV") == nullptr));
  auto norm = [&, out = out](const Tensor& from) {
    Tensor mean = zeros({out}), var = ones({out});
    const Tensor normalized = batch_norm(from, {}, {}, mean, var, {.training = true, .momentum = 1});
    return std::vector{normalized.detach(), mean, var};
  };
  const auto taken = norm(y), computed = norm(y.detach().clone()), exact = [&, out = out] {
    Tensor mean = zeros({out}, {.dtype = f64}), var = ones({out}, {.dtype = f64});
    return std::vector{batch_norm(y.detach().to(f64), {}, {}, mean, var, {.training = true, .momentum = 1}),
                       mean, var};
  }();
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(difference(taken[i], exact[i]) < 2e-5);
    CHECK(difference(computed[i], exact[i]) < 2e-5);
  }
  // Another view of the same memory has other channels.
  const Tensor halves = y.detach().reshape({n, size, size, 2, out / 2});
  const auto norm_halves = [](const Tensor& from) {
    return batch_norm(from, {}, {}, {}, {}, {.training = true});
  };
  CHECK(norm_halves(halves).to_vector<float>() == norm_halves(halves.clone()).to_vector<float>());
  // They go when the values change.
  const NoGradGuard no_grad;
  Tensor changed = y.detach();
  changed.mul_(2);
  CHECK(y.impl()->storage->cache<cpu::ChannelMoments>() == nullptr);
  CHECK(difference(norm(changed)[1], taken[1] * 2.0) < 2e-5);
}

TEST_CASE("moments of a convolution have the same bits with any number of threads") {
  const std::int64_t size = GENERATE(16, 50);
  CHECK(same_for_any_thread_count([&] {
    Generator generator(22);
    const Tensor x = randn({2, size, size, 16}, generator),
                 w = randn({160, 3, 3, 16}, generator).requires_grad_();
    Tensor mean = zeros({160}), var = ones({160});
    batch_norm(conv2d(x, w, {}, {.padding = 1}), {}, {}, mean, var, {.training = true});
    return cat({mean, var}, 0);
  }));
}

TEST_CASE("bf16 norms, with parameters in f32", "[cpu]") {
  const std::int64_t c = GENERATE(3, 32, 48);
  const Shape x{3, 9, 11, c};
  const std::vector<Bf16Input> inputs{{x}, {{c}, f32}, {{c}, f32}};
  for (const bool relu : {false, true})
    check_bf16(
        "batch_norm", [&](const auto& in) { return batch_norm(in[0], in[1], in[2], {}, {}, {.relu = relu}); },
        inputs);
  check_bf16("group_norm",
             [](const auto& in) { return group_norm(in[0], 3 - in[0].size(-1) % 3 % 2, in[1], in[2]); },
             {{{2, 5, 7, 6}}, {{6}, f32}, {{6}, f32}});
  check_bf16(
      "layer_norm", [&](const auto& in) { return layer_norm(in[0], {c}, in[1], in[2]); }, inputs);
}

TEST_CASE("bf16 batch_norm moves running statistics in f32", "[cpu]") {
  Generator generator(4);
  const Tensor x = add(randn({2, 8, 8, 32}, generator), 3).to(bf16);
  Tensor mean = zeros({32}), var = ones({32}), mean64 = zeros({32}, {.dtype = f64}),
         var64 = ones({32}, {.dtype = f64});
  batch_norm(x, {}, {}, mean, var, {.training = true});
  batch_norm(x.to(f64), {}, {}, mean64, var64, {.training = true});
  CHECK(relative_error(mean, mean64) < 1e-6);
  CHECK(relative_error(var, var64) < 1e-6);
}

TEST_CASE("bf16 batch norm takes the moments that a convolution computed while it wrote", "[cpu]") {
  // Whole tiles, outputs around the caches, tiles beyond the image, one unit; blocks of outputs with a tail.
  const auto [n, size, out, offset] = GENERATE(table<std::int64_t, std::int64_t, std::int64_t, double>(
      {{4, 32, 32, 0}, {1, 256, 64, 0}, {2, 45, 50, 1}, {1, 16, 96, 30}}));
  Generator generator(21);
  const Tensor x = (randn({n, size, size, 16}, generator) + offset).to(bf16),
               w = (randn({out, 3, 3, 16}, generator) * 0.1).to(bf16).requires_grad_();
  const int threads = num_threads();
  std::vector<float> bits[2];
  for (const int count : {1, 2}) {
    set_num_threads(count);
    const Tensor y = conv2d(x, w, {}, {.padding = 1});
    const ConvGeometry g{.n = n,
                         .h = size,
                         .w = size,
                         .c = 16,
                         .h_out = size,
                         .w_out = size,
                         .k = out,
                         .kernel = 3,
                         .padding = 1};
    CHECK((y.impl()->storage->cache<cpu::ChannelMoments>() != nullptr) ==
          (cpu::conv2d_winograd_bf16_refuse(g, bf16) == nullptr && std::getenv("KARYON_CONV") == nullptr));
    auto moments = [&, out = out](const Tensor& from, DType dtype) {
      Tensor mean = zeros({out}, {.dtype = dtype}), var = ones({out}, {.dtype = dtype});
      batch_norm(from, {}, {}, mean, var, {.training = true, .momentum = 1});
      return cat({mean, var}, 0);
    };
    const Tensor taken = moments(y, f32);
    CHECK(relative_error(taken, moments(y.detach().to(f64), f64)) < 2e-5);
    bits[count - 1] = taken.to_vector<float>();
    const NoGradGuard no_grad;
    y.detach().mul_(2);
    CHECK(y.impl()->storage->cache<cpu::ChannelMoments>() == nullptr);
  }
  set_num_threads(threads);
  CHECK(bits[0] == bits[1]);
}

TEST_CASE("bf16 batch_norm gives the same bits with any number of threads", "[cpu]") {
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16([](const auto& in) { return batch_norm(in[0], in[1], in[2], {}, {}, {.relu = true}); },
                       {{{2, 64, 64, 32}}, {{32}, f32}, {{32}, f32}})
        .of_bf16;
  }));
}
