#include "bf16_check.h"
#include "conv_by_definition.h"

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/statistics.h>

using namespace karyon;
using namespace karyon::test;

namespace {

struct Case {
  Shape x;
  std::int64_t out, kh, kw;
  Conv2dOptions options;
  bool bias = true;
};

void check_conv2d(const Case& c) {
  Generator generator(1);
  const Shape w{c.out, c.kh, c.kw, c.x[3] / c.options.groups};
  std::vector<Tensor> inputs{randn(c.x, generator), randn(w, generator),
                             c.bias ? randn({c.out}, generator) : Tensor()};
  check_op(
      "conv2d", [&](const auto& in) { return conv2d(in[0], in[1], in[2], c.options); },
      [&](const auto& in) { return conv2d_by_definition(in[0], in[1], in[2], c.options); }, inputs,
      {.parameters_from = 2});
}

struct TransposeCase {
  Shape x;
  std::int64_t out, kh, kw;
  ConvTranspose2dOptions options;
  bool bias = true;
};

void check_conv_transpose2d(const TransposeCase& c) {
  Generator generator(2);
  const Shape w{c.x[3], c.kh, c.kw, c.out / c.options.groups};
  std::vector<Tensor> inputs{randn(c.x, generator), randn(w, generator),
                             c.bias ? randn({c.out}, generator) : Tensor()};
  check_op(
      "conv_transpose2d", [&](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], c.options); },
      [&](const auto& in) { return conv_transpose2d_by_definition(in[0], in[1], in[2], c.options); }, inputs,
      {.parameters_from = 2});
}

// Sizes too large for finite differences: f32 forward and gradients against f64.
void check_large(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                 const std::vector<Tensor>& inputs, double tolerance = 1e-5) {
  std::vector<Tensor> in32, in64;
  for (const Tensor& x : inputs) {
    in32.push_back(x.to(device()).clone().requires_grad_());
    in64.push_back(x.to(f64).requires_grad_());
  }
  const Tensor y32 = f(in32), y64 = f(in64);
  CHECK(difference(y32, y64) < tolerance);
  Generator generator(3);
  const Tensor dy = randn(y32.shape(), generator);
  y32.backward(dy.to(device()));
  y64.backward(dy.to(f64));
  for (std::size_t i = 0; i < inputs.size(); ++i)
    CHECK(difference(in32[i].grad(), in64[i].grad()) < tolerance);
}

}  // namespace

TEST_CASE("conv2d over odd shapes") {
  const auto [x, out, kh, kw, options, bias] = GENERATE(values<Case>({
      {{1, 1, 1, 1}, 1, 1, 1, {}},
      {{1, 1, 1, 3}, 2, 3, 3, {.padding = 1}},
      {{2, 5, 7, 3}, 4, 3, 3, {.padding = 1}},
      {{2, 5, 7, 3}, 4, 3, 3, {}, false},
      {{1, 7, 6, 2}, 3, 3, 2, {.stride = 2, .padding = 1}},
      {{1, 8, 9, 2}, 3, 2, 3, {.stride = {3, 2}, .padding = {0, 2}}},
      {{1, 9, 8, 4}, 6, 3, 3, {.padding = 2, .dilation = 2, .groups = 2}},
      {{1, 6, 6, 5}, 5, 3, 3, {.padding = 1, .groups = 5}},
      {{1, 4, 4, 2}, 17, 1, 1, {}},
      {{1, 4, 5, 2}, 3, 5, 5, {.stride = 4, .padding = 4, .dilation = {1, 2}}},
      {{1, 3, 19, 2}, 2, 1, 7, {.padding = {0, 3}}},
  }));
  check_conv2d({x, out, kh, kw, options, bias});
}

TEST_CASE("conv_transpose2d over odd shapes") {
  const auto [x, out, kh, kw, options, bias] = GENERATE(values<TransposeCase>({
      {{1, 1, 1, 1}, 1, 1, 1, {}},
      {{2, 3, 5, 4}, 2, 2, 2, {.stride = 2}},
      {{1, 3, 4, 3}, 5, 3, 3, {.stride = 2, .padding = 1, .output_padding = 1}},
      {{1, 3, 4, 4}, 6, 3, 2, {.stride = {1, 3}, .dilation = {2, 1}, .groups = 2}},
      {{1, 3, 3, 2}, 2, 2, 2, {.stride = 3, .output_padding = 2}, false},  // some outputs no tap reaches
  }));
  check_conv_transpose2d({x, out, kh, kw, options, bias});
}

TEST_CASE("blocked convolution agrees with the reference where tiles, blocks and passes have tails") {
  struct Large {
    std::int64_t n, h, w, c, k, kernel;
    Conv2dOptions options;
  };
  const auto s = GENERATE(values<Large>({
      {1, 17, 29, 3, 33, 3, {.padding = 1}},
      {1, 9, 15, 129, 47, 3, {.padding = 1}},
      {2, 16, 16, 40, 64, 3, {.padding = 1}},
      {1, 3, 300, 16, 16, 3, {.padding = 1}},
      {1, 65, 31, 20, 1, 1, {}},
      {1, 21, 23, 32, 40, 3, {.stride = 2, .padding = 1}},
      {1, 14, 13, 260, 12, 1, {}},
      {1, 40, 40, 8, 24, 5, {.padding = 4, .dilation = 2, .groups = 4}},
      {2, 20, 33, 24, 130, 2, {.stride = 2}},  // read where it lies
      {6, 7, 8, 300, 70, 5, {.padding = 2}},   // images and passes
      // For the weights: read in place or not, in chunks of bands, strips or images, or by all threads
      // together.
      {2, 33, 70, 20, 64, 2, {.stride = 2}},
      {2, 33, 35, 96, 64, 2, {.stride = 2}},
      {1, 60, 81, 64, 64, 3, {.padding = 1, .groups = 2}},
      {3, 41, 23, 33, 65, 5, {.padding = 2}},
      {1, 2, 4100, 5, 32, 3, {.padding = 1}},
      {1, 1, 3000, 24, 64, 1, {}},
      {90, 5, 4, 17, 40, 5, {.padding = 2}},
      {2, 16, 16, 130, 144, 3, {.stride = 2, .padding = 1}},
      {5, 16, 16, 72, 160, 4, {.padding = 1}},
  }));
  Generator generator(4);
  const Tensor x = randn({s.n, s.h, s.w, s.c}, generator), b = randn({s.k}, generator);
  const Tensor w = randn({s.k, s.kernel, s.kernel, s.c / s.options.groups}, generator);
  INFO(x.shape() << " " << w.shape());
  check_large([&](const auto& in) { return conv2d(in[0], in[1], in[2], s.options); }, {x, w, b});
  const ConvTranspose2dOptions transpose{.stride = s.options.stride,
                                         .padding = s.options.padding,
                                         .dilation = s.options.dilation,
                                         .groups = s.options.groups};
  const Tensor y = conv2d(x, w, {}, s.options);
  check_large([&](const auto& in) { return conv_transpose2d(in[0], in[1], {}, transpose); }, {y, w});
}

TEST_CASE("Winograd convolution agrees with the reference over odd shapes, with every tail") {
  struct Large {
    std::int64_t n, h, w, c, k, padding;
  };
  const auto s = GENERATE(values<Large>({
      {2, 16, 16, 32, 32, 1},  // whole tiles
      {1, 13, 18, 16, 33, 1},  // the last tiles reach beyond the image
      {1, 23, 29, 41, 47, 1},  // channels that fill no vector
      {2, 17, 15, 24, 20, 0},  // no padding
      {1, 14, 18, 20, 24, 2},  // as wide as the kernel reaches
      {16, 2, 2, 24, 40, 1},   // tiles of 2 x 2
      {9, 5, 2, 17, 18, 1},
      {1, 31, 33, 270, 66, 1},  // several pieces of channels at once
      {1, 61, 64, 24, 72, 1},   // many units of tiles
      {2, 61, 64, 24, 40, 1},   // 8 and 16 chunks of sums for the weights
      {4, 61, 64, 16, 24, 1},
      {1, 53, 55, 100, 90, 1},  // sums in stages
      {3, 12, 300, 16, 16, 1},
  }));
  Generator generator(6);
  const Tensor x = randn({s.n, s.h, s.w, s.c}, generator), b = randn({s.k}, generator);
  const Tensor w = randn({s.k, 3, 3, s.c}, generator);
  INFO(x.shape() << " " << w.shape());
  const ConvGeometry g{.n = s.n,
                       .h = s.h,
                       .w = s.w,
                       .c = s.c,
                       .h_out = s.h + 2 * s.padding - 2,
                       .w_out = s.w + 2 * s.padding - 2,
                       .k = s.k,
                       .kernel = 3,
                       .padding = s.padding};
  REQUIRE(cpu::conv2d_winograd_refuse(g, f32) == nullptr);
  check_large([&](const auto& in) { return conv2d(in[0], in[1], in[2], {.padding = s.padding}); }, {x, w, b},
              3e-5);
}

TEST_CASE("conv2d_affine is a convolution, a scale and shift per channel and a ReLU") {
  struct Affine {
    Shape x;
    std::int64_t out;
    bool scale, shift, relu;
  };
  const auto [shape, out, with_scale, with_shift, relu] = GENERATE(values<Affine>({
      {{1, 1, 1, 3}, 2, true, true, true},      // one pixel
      {{0, 4, 4, 3}, 2, true, true, true},      // no image
      {{1, 6, 5, 3}, 7, true, true, true},      // direct
      {{2, 17, 19, 24}, 33, true, true, true},  // Winograd, with tails
      {{2, 16, 16, 32}, 32, true, true, false},
      {{16, 2, 2, 16}, 20, false, true, true},
      {{1, 20, 20, 16}, 16, true, false, true},
      {{1, 20, 20, 16}, 16, false, false, false},
  }));
  Generator generator(7);
  const Tensor x = randn(shape, generator), w = randn({out, 3, 3, shape[3]}, generator);
  const Tensor scale = with_scale ? randn({out}, generator) : Tensor(),
               shift = with_shift ? randn({out}, generator) : Tensor();
  auto wide = [](const Tensor& t) { return t.defined() ? t.to(f64) : t; };
  Tensor expected = conv2d_by_definition(wide(x), wide(w), {}, {.padding = 1});
  double* values = expected.data<double>();
  for (std::int64_t i = 0; i < expected.numel(); ++i) {
    const auto k = static_cast<std::size_t>(i % out);
    if (with_scale) values[i] *= static_cast<double>(scale.data<float>()[k]);
    if (with_shift) values[i] += static_cast<double>(shift.data<float>()[k]);
    if (relu) values[i] = std::max(values[i], 0.0);
  }
  const Conv2dAffineOptions options{.conv = {.padding = 1},
                                    .activation = relu ? ActivationKind::relu : ActivationKind::none};
  auto there = [](const Tensor& t) { return t.defined() ? t.to(device()) : t; };
  CHECK(difference(conv2d_affine(there(x), there(w), there(scale), there(shift), options), expected) < 3e-5);
  CHECK(difference(conv2d_affine(wide(x), wide(w), wide(scale), wide(shift), options), expected) < 1e-12);
}

TEST_CASE("conv2d_affine adds a residual before its activation") {
  struct Finished {
    Shape x;
    std::int64_t out, kernel, groups;
  };
  const auto [shape, out, kernel, groups] = GENERATE(values<Finished>({
      {{2, 7, 9, 5}, 6, 1, 1},  // direct, no whole vector
      {{1, 20, 20, 16}, 32, 1, 1},
      {{37, 1, 1, 20}, 33, 1, 1},  // pixels that are no images
      {{31, 7, 7, 16}, 16, 1, 1},
      {{2053, 1, 1, 16}, 17, 1, 1},  // that fill no whole rows
      {{1, 17, 19, 16}, 24, 3, 1},   // Winograd
      {{1, 9, 8, 20}, 20, 3, 20},    // depthwise
      {{0, 4, 4, 3}, 2, 3, 1},       // no image
  }));
  const auto activation = GENERATE(ActivationKind::none, ActivationKind::relu, ActivationKind::relu6,
                                   ActivationKind::silu, ActivationKind::hardswish, ActivationKind::gelu);
  const bool with_residual = GENERATE(false, true);
  Generator generator(8);
  const Conv2dOptions options{.padding = kernel / 2, .groups = groups};
  const Tensor x = randn(shape, generator), w = randn({out, kernel, kernel, shape[3] / groups}, generator),
               scale = randn({out}, generator), shift = randn({out}, generator);
  const Tensor sums = conv2d(x.to(f64), w.to(f64), {}, options) * scale.to(f64) + shift.to(f64);
  const Tensor residual = with_residual ? randn(sums.shape(), generator) : Tensor();
  const Tensor before = with_residual ? sums + residual.to(f64) : sums;
  const Tensor expected = activation == ActivationKind::relu        ? relu(before)
                          : activation == ActivationKind::relu6     ? relu6(before)
                          : activation == ActivationKind::silu      ? silu(before)
                          : activation == ActivationKind::hardswish ? hardswish(before)
                          : activation == ActivationKind::gelu      ? gelu(before)
                                                                    : before;
  const auto there = [](const Tensor& t) { return t.defined() ? t.to(device()) : t; };
  const Tensor y = conv2d_affine(there(x), there(w), there(scale), there(shift),
                                 {.conv = options, .activation = activation, .residual = there(residual)});
  // Relative to the values before the activation.
  const double largest = sums.numel() > 0 ? before.abs().max().item<double>() : 1;
  CHECK(difference(y, expected) < 1e-5 * std::max(1.0, largest));
}

TEST_CASE("conv2d_affine says what it cannot do") {
  const Tensor x = zeros({1, 5, 5, 3}), w = zeros({4, 3, 3, 3});
  CHECK_THROWS_WITH(conv2d_affine(x, w.clone().requires_grad_(), {}, {}), Catch::Contains("NoGradGuard"));
  CHECK_THROWS_WITH(conv2d_affine(x, w, zeros({3}), {}), Catch::Contains("expects scale"));
  CHECK_THROWS_WITH(conv2d_affine(x, w, {}, zeros({3})), Catch::Contains("bias"));
  CHECK_THROWS_WITH(conv2d_affine(zeros({1, 5, 5, 1}), w, {}, {}),
                    Catch::Contains("expects 3 input channels"));
  CHECK_THROWS_WITH(conv2d_affine(x, w, {}, {}, {.residual = zeros({1, 3, 3, 3})}),
                    Catch::Contains("expects a residual"));
  CHECK_THROWS_WITH(conv2d_affine(x, w, {}, {}, {.residual = zeros({1, 3, 3, 4}, {.dtype = f64})}),
                    Catch::Contains("expects a residual"));
}

TEST_CASE("the list of convolutions says which one it takes and why") {
  ConvGeometry g{
      .n = 1, .h = 32, .w = 32, .c = 32, .h_out = 32, .w_out = 32, .k = 32, .kernel = 3, .padding = 1};
  CHECK(cpu::explain_conv2d(g, f32) == "winograd");
  CHECK(cpu::explain_conv2d(g, f64) ==
        "not winograd: is written for f32; not grouped: the channels are one group; "
        "not direct: is written for f32; reference");
  g.groups = g.c;
  CHECK(cpu::explain_conv2d(g, f32) == "not winograd: the channels are in groups; grouped");
  g.groups = 1;
  g.c = 3;
  CHECK(cpu::explain_conv2d(g, f32) ==
        "not winograd: so few channels do not pay for the transforms; "
        "not grouped: the channels are one group; direct");
  g.c = 1;  // not depthwise: its input would be repeated for each output
  CHECK_THAT(cpu::explain_conv2d(g, f32), Catch::EndsWith("direct"));
  g.c = 3;
  g.stride = 2;
  CHECK_THAT(cpu::explain_conv2d(g, f32), Catch::Contains("the stride is not 1"));
}

TEST_CASE("convolution gives the same bits with any number of threads") {
  // Many tiles, few tiles (work is shared out by channels then), a geometry that only direct takes, with few
  // pixels and with chunks of them, and sums for the weights in chunks and in stages whose tasks are of
  // another size with 2 threads.
  const auto [shape, out, stride] =
      GENERATE(table<Shape, std::int64_t, std::int64_t>({{{2, 40, 37, 24}, 40, 1},
                                                         {{2, 16, 16, 32}, 160, 1},
                                                         {{2, 40, 37, 24}, 40, 2},
                                                         {{4, 120, 60, 24}, 40, 2},
                                                         {{2, 61, 64, 24}, 40, 1},
                                                         {{1, 53, 55, 128}, 96, 1}}));
  Generator generator(5);
  const Tensor x0 = randn(shape, generator), w0 = randn({out, 3, 3, shape[3]}, generator);
  CHECK(same_for_any_thread_count([&, stride = stride] {
    Tensor x = x0.clone().requires_grad_(), w = w0.clone().requires_grad_();
    const Tensor y = conv2d(x, w, {}, {.stride = stride, .padding = 1});
    y.backward(y.detach());
    return std::vector{y, x.grad(), w.grad()};
  }));
}

TEST_CASE("packed filters are kept while nothing trains, and go with the weights") {
  // Winograd with one unit of tiles, Winograd with many, direct, transposed.
  const auto [size, channels, out, kernel, transposed] =
      GENERATE(table<std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool>(
          {{16, 70, 48, 3, false}, {60, 24, 40, 3, false}, {9, 5, 7, 5, false}, {6, 20, 33, 2, true}}));
  Generator generator(8);
  const Tensor x = randn({1, size, size, channels}, generator);
  const Shape shape =
      transposed ? Shape{channels, kernel, kernel, out} : Shape{out, kernel, kernel, channels};
  Tensor w = randn(shape, generator);
  auto run = [&, kernel = kernel, transposed = transposed](const Tensor& weight) {
    return (transposed ? conv_transpose2d(x, weight, {}, {.stride = 2})
                       : conv2d(x, weight, {}, {.padding = kernel / 2}))
        .to_vector<float>();
  };
  const std::vector<float> fresh = run(w);
  const std::size_t before = memory_stats().current;
  {
    const NoGradGuard no_grad;
    CHECK(run(w) == fresh);
    CHECK(memory_stats().current == before);  // they may never be used again
    CHECK(run(w) == fresh);
    const std::size_t kept = memory_stats().current;
    CHECK(kept > before);  // and counted
    CHECK(run(w) == fresh);
    CHECK(memory_stats().current == kept);
    {
      // A view at another place of the same memory is another filter.
      const Tensor two = cat({w, w.clone().mul_(-1)}, 0);
      const std::vector<float> other = run(w.clone().mul_(-1));
      for (int i = 0; i < 3; ++i) {
        CHECK(run(view(two, shape, w.numel())) == other);
        CHECK(run(view(two, shape)) == fresh);
      }
    }
    w.mul_(2);
    CHECK(memory_stats().current == before);
    std::vector<float> doubled = fresh;
    for (float& value : doubled) value *= 2;
    CHECK(run(w) == doubled);
    w.mul_(0.5);
  }
  CHECK(run(w) == fresh);
  CHECK(memory_stats().current == before);
}

TEST_CASE("weights that serve several strides are packed for each") {
  Generator generator(9);
  const Tensor x = randn({1, 4, 4, 3}, generator), w = randn({3, 5, 5, 4}, generator);
  std::vector<std::vector<float>> fresh, kept;
  for (std::int64_t stride : {1, 2, 3, 4})
    fresh.push_back(conv_transpose2d(x, w, {}, {.stride = stride}).to_vector<float>());
  const NoGradGuard no_grad;
  for (int i = 0; i < 3; ++i) {
    kept.clear();
    for (std::int64_t stride : {1, 2, 3, 4})
      kept.push_back(conv_transpose2d(x, w, {}, {.stride = stride}).to_vector<float>());
    CHECK(fresh == kept);
  }
}

TEST_CASE("an empty batch gives an empty result and zero gradients") {
  Tensor x = zeros({0, 4, 4, 3}), w = ones({2, 3, 3, 3}).requires_grad_();
  const Tensor y = conv2d(x, w, {}, {.padding = 1});
  CHECK(y.shape() == Shape{0, 4, 4, 2});
  y.backward(y.detach());
  CHECK(w.grad().to_vector<float>() == std::vector<float>(54, 0));
}

TEST_CASE("convolution errors say what was expected") {
  const Tensor x = zeros({1, 5, 5, 3}), w = zeros({4, 3, 3, 3});
  CHECK_THROWS_WITH(conv2d(zeros({1, 5, 5, 1}), w), Catch::Contains("expects 3 input channels"));
  CHECK_THROWS_WITH(conv2d(zeros({5, 5, 3}), w), Catch::Contains("[N, H, W, C]"));
  CHECK_THROWS_WITH(conv2d(zeros({1, 2, 2, 3}), w), Catch::Contains("smaller than the kernel"));
  CHECK_THROWS_WITH(conv2d(x, w, zeros({3})), Catch::Contains("bias"));
  CHECK_THROWS_WITH(conv2d(x, w, {}, {.stride = 0}), Catch::Contains("stride"));
  CHECK_THROWS_WITH(conv2d(x, w, {}, {.padding = -1}), Catch::Contains("padding"));
  CHECK_THROWS_WITH(conv2d(x, w.to(f64)), Catch::Contains("f64"));
  CHECK_THROWS_WITH(conv2d(x.to(i64), w.to(i64)), Catch::Contains("i64"));
  CHECK_THROWS_WITH(conv2d(zeros({1, 5, 5, 9}), w, {}, {.padding = 1, .groups = 3}),
                    Catch::Contains("3 groups"));
  CHECK_THROWS_WITH(conv_transpose2d(x, w), Catch::Contains("input channels"));
  CHECK_THROWS_WITH(conv_transpose2d(x, zeros({3, 2, 2, 4}), {}, {.stride = 2, .output_padding = 2}),
                    Catch::Contains("output_padding"));
}

TEST_CASE("convolutions of no image, to any size, are at once no image") {
  const std::int64_t far = std::int64_t{1} << 40;
  for (const DType dtype : {f32, f64, bf16}) {
    const Tensor x = zeros({0, 3, 3, 2}, {.dtype = dtype}).requires_grad_();
    const Tensor w = ones({2, 1, 1, 2}, {.dtype = dtype}).requires_grad_();
    const Tensor down = conv2d(x, w, {}, {.padding = {far, 0}}),
                 up = conv_transpose2d(x, w, {}, {.stride = {far, 1}});
    CHECK(down.shape() == Shape{0, 2 * far + 3, 3, 2});
    CHECK(up.shape() == Shape{0, 2 * far + 1, 3, 2});
    for (const Tensor& y : {down, up}) y.backward(zeros_like(y));
    CHECK(x.grad().shape() == x.shape());
    CHECK(w.grad().to_vector<double>() == std::vector<double>(4, 0.0));
  }
}
