#include <karyon/core/autocast.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/conv1d.h>
#include <karyon/core/ops/conv3d.h>
#include <karyon/core/ops/elementwise.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

std::int64_t at(const Tensor& x, std::int64_t n, std::int64_t d, std::int64_t h, std::int64_t w,
                std::int64_t c) {
  return (((n * x.size(1) + d) * x.size(2) + h) * x.size(3) + w) * x.size(4) + c;
}

// Calls f(input place, weight place, output place) for all products of a convolution of `x` to `y`.
template <class F>
void for_products(const Tensor& x, const Tensor& w, const Tensor& y, const Conv3dOptions& o, const F& f) {
  const std::int64_t k = y.size(4), cg = x.size(4) / o.groups, kg = k / o.groups;
  for (std::int64_t out = 0; out < y.numel(); ++out) {
    const std::int64_t m = out % k, q = out / k % y.size(3), r = out / k / y.size(3) % y.size(2),
                       s = out / k / y.size(3) / y.size(2) % y.size(1),
                       n = out / k / y.size(3) / y.size(2) / y.size(1);
    for (std::int64_t tap = 0; tap < w.numel() / w.size(0) / cg; ++tap) {
      const std::int64_t j = tap % w.size(3), i = tap / w.size(3) % w.size(2),
                         t = tap / w.size(3) / w.size(2);
      const std::int64_t d = s * o.stride.d - o.padding.d + t * o.dilation.d,
                         h = r * o.stride.h - o.padding.h + i * o.dilation.h,
                         v = q * o.stride.w - o.padding.w + j * o.dilation.w;
      if (d < 0 || d >= x.size(1) || h < 0 || h >= x.size(2) || v < 0 || v >= x.size(3)) continue;
      for (std::int64_t c = 0; c < cg; ++c) f(at(x, n, d, h, v, m / kg * cg + c), at(w, m, t, i, j, c), out);
    }
  }
}

void add_bias(const Tensor& b, Tensor& y) {
  if (!b.defined()) return;
  for (std::int64_t i = 0; i < y.numel(); ++i) y.data<double>()[i] += b.data<double>()[i % y.size(4)];
}

Tensor conv3d_by_definition(const Tensor& x, const Tensor& w, const Tensor& b, const Conv3dOptions& o,
                            const Shape& shape) {
  Tensor y = zeros(shape, {.dtype = f64});
  add_bias(b, y);
  for_products(x, w, y, o, [&](std::int64_t in, std::int64_t filter, std::int64_t out) {
    y.data<double>()[out] += x.data<double>()[in] * w.data<double>()[filter];
  });
  return y;
}

// Each product of the convolution that it transposes, the other way.
Tensor conv_transpose3d_by_definition(const Tensor& x, const Tensor& w, const Tensor& b,
                                      const Conv3dOptions& o, const Shape& shape) {
  Tensor y = zeros(shape, {.dtype = f64});
  add_bias(b, y);
  for_products(y, w, x, o, [&](std::int64_t out, std::int64_t filter, std::int64_t in) {
    y.data<double>()[out] += x.data<double>()[in] * w.data<double>()[filter];
  });
  return y;
}

// Sizes too large for finite differences: f32 and its gradients against f64.
void check_large(const Op& f, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> in32, in64;
  for (const Tensor& x : inputs) {
    in32.push_back(x.to(device()).clone().requires_grad_());
    in64.push_back(x.to(f64).requires_grad_());
  }
  const Tensor y32 = f(in32), y64 = f(in64);
  CHECK(difference(y32, y64) < 1e-5);
  Generator generator(3);
  const Tensor dy = randn(y32.shape(), generator);
  y32.backward(dy.to(device()));
  y64.backward(dy.to(f64));
  for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(difference(in32[i].grad(), in64[i].grad()) < 2e-5);
}

}  // namespace

TEST_CASE("conv3d over odd shapes") {
  struct Case {
    Shape x;
    std::int64_t out;
    Triple kernel;
    Conv3dOptions options;
    bool bias = true;
  };
  const Case c = GENERATE(values<Case>({
      {{1, 1, 1, 1, 1}, 1, 1, {}},
      {{2, 3, 4, 5, 3}, 4, 3, {.padding = 1}},
      {{1, 4, 5, 3, 2}, 3, {2, 3, 1}, {}, false},
      {{2, 5, 4, 5, 2}, 3, 3, {.stride = 2, .padding = 1}},
      {{1, 5, 6, 5, 4},
       6,
       {3, 2, 3},
       {.stride = {1, 2, 1}, .padding = 2, .dilation = {2, 1, 2}, .groups = 2}},
      {{1, 3, 4, 4, 3}, 6, 3, {.padding = 1, .groups = 3}},
      {{2, 3, 2, 4, 2}, 17, 1, {}},
      {{1, 2, 3, 3, 2}, 2, {1, 3, 3}, {.padding = {1, 1, 1}}},
      {{1, 2, 2, 2, 1}, 2, {5, 1, 1}, {.stride = {7, 1, 1}, .padding = {3, 0, 0}}},
      {{0, 3, 4, 5, 3}, 4, 3, {.padding = 1}},
  }));
  Generator generator(1);
  const std::vector<Tensor> inputs{
      randn(c.x, generator),
      randn({c.out, c.kernel.d, c.kernel.h, c.kernel.w, c.x[4] / c.options.groups}, generator),
      c.bias ? randn({c.out}, generator) : Tensor()};
  const Shape shape = conv3d(inputs[0], inputs[1], inputs[2], c.options).shape();
  check_op(
      "conv3d", [&](const auto& in) { return conv3d(in[0], in[1], in[2], c.options); },
      [&](const auto& in) { return conv3d_by_definition(in[0], in[1], in[2], c.options, shape); }, inputs,
      {.parameters_from = 2});
}

TEST_CASE("conv_transpose3d over odd shapes") {
  struct Case {
    Shape x;
    std::int64_t out;
    Triple kernel;
    ConvTranspose3dOptions options;
    bool bias = true;
  };
  const Case c = GENERATE(values<Case>({
      {{1, 1, 1, 1, 1}, 1, 1, {}},
      {{2, 3, 2, 4, 4}, 2, 2, {.stride = 2}},
      {{1, 3, 4, 2, 3}, 4, 3, {.stride = 2, .padding = 1, .output_padding = 1}},
      {{1, 3, 4, 4, 4}, 6, {3, 2, 1}, {.stride = {1, 3, 2}, .dilation = {2, 1, 1}, .groups = 2}},
      {{1, 2, 3, 2, 2}, 3, {1, 2, 2}, {.stride = 3, .output_padding = 2}},  // frames that no tap reaches
      {{2, 2, 3, 2, 2}, 3, {1, 2, 2}, {.stride = 3}, false},
      {{2, 3, 3, 4, 2}, 3, 3, {.padding = 1}},
      {{0, 3, 2, 4, 4}, 2, 2, {.stride = 2}},
  }));
  Generator generator(2);
  const std::vector<Tensor> inputs{
      randn(c.x, generator),
      randn({c.x[4], c.kernel.d, c.kernel.h, c.kernel.w, c.out / c.options.groups}, generator),
      c.bias ? randn({c.out}, generator) : Tensor()};
  const Conv3dOptions forward{.stride = c.options.stride,
                              .padding = c.options.padding,
                              .dilation = c.options.dilation,
                              .groups = c.options.groups};
  const Shape shape = conv_transpose3d(inputs[0], inputs[1], inputs[2], c.options).shape();
  check_op(
      "conv_transpose3d", [&](const auto& in) { return conv_transpose3d(in[0], in[1], in[2], c.options); },
      [&](const auto& in) { return conv_transpose3d_by_definition(in[0], in[1], in[2], forward, shape); },
      inputs, {.parameters_from = 2});
}

TEST_CASE("conv3d in chunks of frames, gathered or in place, agrees with f64", "[cpu]") {
  struct Large {
    Shape x;
    std::int64_t out;
    Triple kernel;
    Conv3dOptions options;
  };
  const Large c = GENERATE(values<Large>({
      {{1, 40, 30, 31, 16}, 32, 3, {.padding = 1}},                   // views inside, gathered at the ends
      {{2, 9, 75, 60, 32}, 16, 3, {.padding = {2, 1, 1}}},            // the same for two images
      {{1, 24, 40, 40, 16}, 16, {3, 3, 3}, {.dilation = {2, 1, 1}}},  // views only
      {{2, 7, 60, 150, 40}, 20, {2, 1, 1}, {.padding = {1, 0, 0}}},   // several chunks of one image
      {{3, 5, 130, 120, 9}, 6, 3, {.stride = 2, .padding = 1}},       // a chunk with parts of two images
      {{1, 3, 210, 200, 32}, 8, {3, 1, 1}, {.groups = 4}},
  }));
  Generator generator(5);
  const Tensor in = randn(c.x, generator), bias = randn({c.out}, generator);
  const Tensor weight =
      randn({c.out, c.kernel.d, c.kernel.h, c.kernel.w, c.x[4] / c.options.groups}, generator);
  INFO(c.x);
  check_large([&](const auto& t) { return conv3d(t[0], t[1], t[2], c.options); }, {in, weight, bias});
  const ConvTranspose3dOptions transposed{.stride = c.options.stride,
                                          .padding = c.options.padding,
                                          .dilation = c.options.dilation,
                                          .groups = c.options.groups};
  const Tensor y = conv3d(in, weight, {}, c.options);
  check_large([&](const auto& t) { return conv_transpose3d(t[0], t[1], {}, transposed); }, {y, weight});
}

TEST_CASE("conv3d has the same bits with any number of threads", "[cpu]") {
  Generator generator(6);
  const Tensor x = randn({1, 34, 32, 33, 16}, generator).requires_grad_();
  const Tensor w = randn({16, 3, 3, 3, 16}, generator).requires_grad_();
  CHECK(same_for_any_thread_count([&] {
    Tensor y = conv3d(x, w, {}, {.padding = 1});
    x.impl()->grad = w.impl()->grad = Tensor();
    y.backward(ones_like(y));
    return std::vector{y, x.grad(), w.grad()};
  }));
}

TEST_CASE("conv3d casts under AutocastGuard") {
  Generator generator(7);
  const Tensor x = randn({1, 4, 5, 6, 3}, generator), w = randn({4, 3, 3, 3, 3}, generator);
  const AutocastGuard guard(bf16);
  CHECK(conv3d(x, w, randn({4}, generator)).dtype() == bf16);
  CHECK(conv_transpose3d(x, randn({3, 2, 2, 2, 4}, generator)).dtype() == bf16);
}

TEST_CASE("conv3d and conv_transpose3d: what is refused") {
  const Tensor x = ones({1, 4, 4, 4, 2}), w = ones({3, 3, 3, 3, 2});
  CHECK_THROWS_WITH(conv3d(ones({4, 4, 4, 2}), w), Contains("conv3d: expects x [N, D, H, W, C]"));
  CHECK_THROWS_WITH(conv3d(x, ones({3, 3, 3, 2})), Contains("conv3d: expects a weight of 5 dimensions"));
  CHECK_THROWS_WITH(conv3d(x, ones({3, 0, 3, 3, 2})), Contains("is empty"));
  CHECK_THROWS_WITH(conv3d(x, ones({3, 3, 3, 3, 1})), Contains("expects 1 input channels"));
  CHECK_THROWS_WITH(conv3d(x, w, ones({2})), Contains("expects bias f32 [3]"));
  CHECK_THROWS_WITH(conv3d(x, w.to(f64)), Contains("x is f32 but weight is f64"));
  CHECK_THROWS_WITH(conv3d(x, w, {}, {.stride = {0, 1, 1}}), Contains("stride >= 1, got (0, 1, 1)"));
  CHECK_THROWS_WITH(conv3d(x, w, {}, {.padding = -1}), Contains("padding >= 0"));
  CHECK_THROWS_WITH(conv3d(x, w, {}, {.dilation = {2, 1, 1}}), Contains("smaller than the kernel"));
  CHECK_THROWS_WITH(conv3d(x, ones({3, 3, 3, 3, 1}), {}, {.groups = 2}), Contains("do not divide"));
  const Tensor v = ones({2, 2, 2, 2, 3});
  CHECK_THROWS_WITH(conv_transpose3d(x, w), Contains("expects 3 input channels"));
  CHECK_THROWS_WITH(conv_transpose3d(x, v, {}, {.output_padding = 1}), Contains("must be below the stride"));
  CHECK_THROWS_WITH(conv_transpose3d(x, v, {}, {.padding = 3}), Contains("gives an empty output"));
}
