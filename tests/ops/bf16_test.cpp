#include "op_check.h"

#include <karyon/core/autocast.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/dropout.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/resize.h>
#include <karyon/core/parallel.h>
#include <karyon/core/storage.h>

// bf16 on the CPU against f64 on the same rounded inputs; f64 has the other files of this folder for its
// proof.

using namespace karyon;
using namespace karyon::test;

namespace {

// A result rounded once is off by 2^-9 at most, 1.7e-3 in the relative L2 norm of many.
constexpr double rounded_once = 2.5e-3;
// Winograd rounds its planes: 1.12e-2 with normally distributed values.
constexpr double winograd = 1.2e-2;

double relative_error(const Tensor& got, const Tensor& expected) {
  if (got.shape() != expected.shape()) return INFINITY;
  const auto a = got.to_vector<double>(), b = expected.to_vector<double>();
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i])) return INFINITY;
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
}

struct Input {
  Shape shape;
  DType dtype = bf16;  // of parameters f32
  double scale = 1;
};

struct Results {
  std::vector<Tensor> of_bf16, of_f64;  // the output, then the gradients
};

// The operation and its gradients in bf16 and, from the same values, in f64.
Results run(const Op& op, const std::vector<Input>& inputs) {
  Generator generator(5);
  std::vector<Tensor> narrow, wide;
  for (const Input& input : inputs) {
    const Tensor x = mul(randn(input.shape, generator), input.scale).to(input.dtype);
    narrow.push_back(x.detach().requires_grad_());
    wide.push_back(x.to(f64).detach().requires_grad_());
  }
  const Tensor y = op(narrow), expected = op(wide);
  CHECK(y.dtype() == bf16);
  const Tensor dy = randn(y.shape(), generator).to(bf16);
  y.backward(dy);
  expected.backward(dy.to(f64));
  Results results{{y}, {expected}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CHECK(narrow[i].grad().dtype() == inputs[i].dtype);
    results.of_bf16.push_back(narrow[i].grad());
    results.of_f64.push_back(wide[i].grad());
  }
  return results;
}

void check_bf16(const std::string& name, const Op& op, const std::vector<Input>& inputs,
                double tolerance = rounded_once) {
  INFO(name);
  const Results results = run(op, inputs);
  for (std::size_t i = 0; i < results.of_f64.size(); ++i) {
    INFO((i == 0 ? "output" : "gradient of input " + std::to_string(i - 1)));
    CHECK(relative_error(results.of_bf16[i], results.of_f64[i]) < tolerance);
  }
}

Op convolution(const Conv2dOptions& options) {
  return [options](const auto& in) { return conv2d(in[0], in[1], in[2], options); };
}
std::vector<Input> conv_inputs(const Shape& x, std::int64_t out, std::int64_t kh, std::int64_t kw,
                               const Conv2dOptions& options) {
  return {{x}, {{out, kh, kw, x[3] / options.groups}, bf16, 0.1}, {{out}, f32}};
}

}  // namespace

TEST_CASE("bf16 conv2d by Winograd over odd shapes") {
  struct Case {
    Shape x;
    std::int64_t out, padding;
  };
  const auto [x, out, padding] = GENERATE(values<Case>({
      {{2, 64, 64, 32}, 32, 1},
      {{2, 32, 32, 128}, 128, 1},  // sums in one stage
      {{1, 97, 97, 72}, 96, 1},    // in two, the last with an odd number of tiles
      {{4, 60, 64, 32}, 40, 1},    // in 8 chunks
      {{1, 16, 16, 512}, 96, 1},   // one unit, filters in pieces
      {{2, 17, 23, 33}, 47, 1},    // partial tiles, channels and blocks
      {{2, 20, 13, 40}, 64, 2},
      {{1, 30, 31, 100}, 34, 0},
      {{1, 11, 61, 18}, 16, 1},     // an odd number of tiles
      {{4, 128, 128, 32}, 128, 1},  // outputs around the caches
  }));
  check_bf16("conv2d", convolution({.padding = padding}), conv_inputs(x, out, 3, 3, {}), winograd);
}

TEST_CASE("bf16 conv2d of other geometries") {
  struct Case {
    Shape x;
    std::int64_t out, kh, kw;
    Conv2dOptions options;
  };
  const auto [x, out, kh, kw, options] = GENERATE(values<Case>({
      {{2, 17, 23, 3}, 32, 3, 3, {.padding = 1}},
      {{2, 16, 16, 32}, 1, 1, 1, {}},
      {{1, 1, 1, 1}, 1, 1, 1, {}},
      {{1, 9, 11, 5}, 40, 3, 2, {.stride = 2, .padding = 2}},
      {{1, 20, 21, 6}, 7, 5, 3, {.padding = 1, .dilation = 2}},
      {{1, 12, 12, 8}, 9, 2, 2, {.stride = 2}},
      {{2, 11, 9, 7}, 6, 2, 3, {}},
      {{1, 300, 7, 4}, 5, 1, 1, {}},
      {{1, 7, 301, 4}, 50, 3, 3, {.padding = 1}},
      {{1, 12, 12, 3}, 9, 3, 3, {.dilation = {2, 3}}},
      {{1, 8, 8, 4}, 8, 3, 3, {.padding = 1, .groups = 2}},
      {{4, 256, 256, 4}, 32, 2, 2, {.stride = 2}},  // outputs around the caches
      {{1, 9, 530, 20}, 70, 1, 3, {}},              // rows in parts, a block that two taps share
      {{2, 6, 6, 16}, 16, 3, 3, {.padding = 1}},    // too few tiles for Winograd
      {{0, 6, 6, 5}, 3, 2, 2, {.stride = 2}},       // no image
  }));
  check_bf16("conv2d", convolution(options), conv_inputs(x, out, kh, kw, options));
}

TEST_CASE("bf16 conv_transpose2d") {
  struct Case {
    Shape x;
    std::int64_t out, kernel;
    ConvTranspose2dOptions options;
  };
  const auto [x, out, kernel, options] = GENERATE(values<Case>({
      {{2, 16, 16, 64}, 32, 2, {.stride = 2}},
      {{1, 5, 130, 34}, 17, 2, {.stride = 2}},
      {{1, 5, 6, 3}, 4, 3, {.stride = 3}},
      {{2, 256, 128, 8}, 16, 2, {.stride = 2}},   // outputs around the caches
      {{1, 33, 41, 288}, 150, 2, {.stride = 2}},  // many weights: threads share them, in two stages
      {{1, 4, 5, 6}, 5, 3, {.stride = 2, .padding = 1, .output_padding = 1}},
      {{1, 4, 5, 6}, 4, 2, {.stride = 2, .output_padding = 1}},
      {{0, 4, 5, 6}, 4, 2, {.stride = 2}},  // no image
      {{1, 1, 1, 6}, 4, 2, {.stride = 2}},
  }));
  check_bf16("conv_transpose2d",
             [&](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], options); },
             {{x}, {{x[3], kernel, kernel, out}, bf16, 0.1}, {{out}, f32}});
}

TEST_CASE("bf16 conv2d_affine") {
  const NoGradGuard no_grad;
  Generator generator(2);
  const bool relu = GENERATE(false, true), scaled = GENERATE(false, true);
  for (const std::int64_t kernel : {1, 3, 5}) {
    const Tensor x = randn({2, 20, 18, 40}, generator).to(bf16);
    const Tensor w = mul(randn({33, kernel, kernel, 40}, generator), 0.1).to(bf16);
    const Tensor scale = scaled ? randn({33}, generator) : Tensor(),
                 scale64 = scaled ? scale.to(f64) : Tensor(), shift = randn({33}, generator);
    const Conv2dAffineOptions options{.conv = {.padding = kernel / 2}, .relu = relu};
    const Tensor y = conv2d_affine(x, w, scale, shift, options);
    const Tensor expected = conv2d_affine(x.to(f64), w.to(f64), scale64, shift.to(f64), options);
    CHECK(y.dtype() == bf16);
    CHECK(relative_error(y, expected) < (kernel == 3 ? winograd : rounded_once));
  }
}

TEST_CASE("bf16 conv2d_affine of parts is conv2d_affine of the joined images") {
  const NoGradGuard no_grad;
  Generator generator(6);
  for (const std::int64_t other : {64, 40}) {
    const std::vector<Tensor> parts{randn({1, 21, 22, 32}, generator).to(bf16),
                                    randn({1, 21, 22, other}, generator).to(bf16)};
    for (const std::int64_t kernel : {1, 3}) {
      const Tensor w = randn({32, kernel, kernel, 32 + other}, generator).to(bf16);
      const Conv2dAffineOptions options{.conv = {.padding = kernel / 2}, .relu = true};
      CHECK(conv2d_affine(parts, w, {}, {}, options).to_vector<float>() ==
            conv2d_affine(cat(parts, -1), w, {}, {}, options).to_vector<float>());
    }
  }
}

TEST_CASE("bf16 norms, with parameters in f32") {
  const std::int64_t c = GENERATE(3, 32, 48);
  const Shape x{3, 9, 11, c};
  const std::vector<Input> inputs{{x}, {{c}, f32}, {{c}, f32}};
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

TEST_CASE("bf16 batch_norm moves running statistics in f32") {
  Generator generator(4);
  const Tensor x = add(randn({2, 8, 8, 32}, generator), 3).to(bf16);
  Tensor mean = zeros({32}), var = ones({32}), mean64 = zeros({32}, {.dtype = f64}),
         var64 = ones({32}, {.dtype = f64});
  batch_norm(x, {}, {}, mean, var, {.training = true});
  batch_norm(x.to(f64), {}, {}, mean64, var64, {.training = true});
  CHECK(relative_error(mean, mean64) < 1e-6);
  CHECK(relative_error(var, var64) < 1e-6);
}

TEST_CASE("bf16 batch norm takes the moments that a convolution computed while it wrote") {
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
    auto moments = [&](const Tensor& from, DType dtype) {
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

TEST_CASE("bf16 convolutions and pools of lazy batch norms and cats") {
  const auto joined = [](const auto& in) {
    const Tensor x = batch_norm(in[0], in[1], in[2], {}, {}, {.relu = true});
    return cat({x, in[3]}, -1);
  };
  const std::vector<Input> inputs{{{2, 18, 21, 32}}, {{32}, f32}, {{32}, f32}, {{2, 18, 21, 64}}};
  auto with_filters = inputs;
  with_filters.push_back({{40, 3, 3, 96}, bf16, 0.1});
  // The norm's parameters get sums of rounded gradients, which cancel.
  check_bf16(
      "conv2d", [&](const auto& in) { return conv2d(joined(in), in[4], {}, {.padding = 1}); }, with_filters,
      4e-2);
  check_bf16(
      "max_pool2d", [&](const auto& in) { return max_pool2d(joined(in)); }, inputs, 4e-2);
}

TEST_CASE("bf16 convolutions read a lazy batch norm as they read a materialized one") {
  struct Case {
    const char* name;
    Shape weight;
    std::function<Tensor(const Tensor& x, const Tensor& weight)> run;
  };
  const auto c = GENERATE(values<Case>({
      {"1 x 1", {3, 1, 1, 32}, [](auto& x, auto& w) { return conv2d(x, w); }},
      {"2 x 2", {40, 2, 2, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.stride = 2}); }},
      {"overlapping", {9, 3, 3, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.stride = 2}); }},
      {"padded",
       {24, 3, 5, 32},
       [](auto& x, auto& w) { return conv2d(x, w, {}, {.padding = 3, .dilation = 2}); }},
      {"transposed",
       {32, 2, 2, 24},
       [](auto& x, auto& w) { return conv_transpose2d(x, w, {}, {.stride = 2}); }},
  }));
  INFO(c.name);
  Generator generator(31);
  const Tensor from = randn({2, 13, 18, 32}, generator).to(bf16), scale = randn({32}, generator),
               shift = randn({32}, generator), weight = randn(c.weight, generator).to(bf16);
  std::vector<std::vector<float>> results[2];
  for (const bool materialized : {false, true}) {
    const Tensor x = from.detach().requires_grad_(), w = weight.detach().requires_grad_();
    const Tensor normed = batch_norm(x, scale.detach().requires_grad_(), shift, {}, {}, {.relu = true});
    CHECK(lazy_as<LazyNorm>(normed) != nullptr);
    if (materialized) CHECK(normed.data<BFloat16>() != nullptr);
    const Tensor y = c.run(normed, w);
    Generator gradients(3);
    y.backward(randn(y.shape(), gradients).to(bf16));
    for (const Tensor& result : {y, w.grad(), x.grad()})
      results[materialized].push_back(result.to_vector<float>());
    if (std::getenv("KARYON_CONV") == nullptr && cpu::has_bf16_dot())
      CHECK((lazy_as<LazyNorm>(normed) == nullptr) == materialized);
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("bf16 pools") {
  const std::int64_t c = GENERATE(1, 5, 32, 48);
  const std::vector<Input> x{{{2, 9, 11, c}}};
  // The values move without arithmetic.
  for (const MaxPool2dOptions& options :
       {MaxPool2dOptions{.kernel_size = 2}, MaxPool2dOptions{.kernel_size = 3, .stride = 3}}) {
    const Results results = run([&](const auto& in) { return max_pool2d(in[0], options); }, x);
    for (std::size_t i = 0; i < 2; ++i) CHECK(relative_error(results.of_bf16[i], results.of_f64[i]) == 0);
  }
  check_bf16(
      "overlapping max_pool2d",
      [](const auto& in) { return max_pool2d(in[0], {.kernel_size = 3, .stride = 1}); }, x);
  check_bf16(
      "avg_pool2d", [](const auto& in) { return avg_pool2d(in[0], {.kernel_size = 3, .padding = 1}); }, x);
  check_bf16(
      "adaptive_avg_pool2d",
      [](const auto& in) {
        return adaptive_avg_pool2d(in[0], {2, 3});
      },
      x);
}

TEST_CASE("bf16 max_pool2d: the first of equal ones and NaN win") {
  for (const std::int64_t c : {1, 16, 33}) {
    Tensor x = zeros({1, 2, 4, c});
    for (std::int64_t k = 0; k < c; ++k) x.data<float>()[6 * c + k] = NAN;  // the second window's lower left
    Tensor narrow = x.to(bf16).requires_grad_();
    const Tensor y = max_pool2d(narrow, {.kernel_size = 2});
    y.backward(ones(y.shape(), {.dtype = bf16}));
    const auto values = y.to_vector<double>(), grads = narrow.grad().to_vector<double>();
    for (std::int64_t k = 0; k < c; ++k) {
      CHECK(values[static_cast<std::size_t>(k)] == 0);
      CHECK(std::isnan(values[static_cast<std::size_t>(c + k)]));
      for (std::int64_t pixel = 0; pixel < 8; ++pixel)
        CHECK(grads[static_cast<std::size_t>(pixel * c + k)] == (pixel == 0 || pixel == 6 ? 1 : 0));
    }
  }
}

TEST_CASE("bf16 elementwise operations") {
  const std::vector<Input> one{{{3, 5, 67}}}, two{{{3, 5, 67}}, {{5, 67}}};
  check_bf16(
      "relu", [](const auto& in) { return relu(in[0]); }, one);
  check_bf16(
      "sigmoid", [](const auto& in) { return sigmoid(in[0]); }, one, 4e-3);
  check_bf16(
      "gelu", [](const auto& in) { return gelu(in[0]); }, one, 4e-3);
  check_bf16(
      "add", [](const auto& in) { return add(in[0], in[1]); }, two);
  check_bf16(
      "sub", [](const auto& in) { return sub(in[0], in[1]); }, two);
  check_bf16(
      "mul", [](const auto& in) { return mul(in[0], in[1]); }, two, 4e-3);
  check_bf16(
      "maximum", [](const auto& in) { return maximum(in[0], in[1]); }, two, 4e-3);
  check_bf16(
      "mul by a number", [](const auto& in) { return mul(in[0], 1.7); }, one);
  check_bf16(
      "clamp", [](const auto& in) { return clamp(in[0], -0.5, 0.5); }, one);
}

TEST_CASE("bf16 products, resampling, joins and borders") {
  check_bf16("matmul", [](const auto& in) { return matmul(in[0], in[1]); }, {{{2, 70, 65}}, {{65, 80}}});
  check_bf16("linear", [](const auto& in) { return linear(in[0], in[1], in[2]); },
             {{{9, 33}}, {{17, 33}}, {{17}, f32}});
  check_bf16("interpolate",
             [](const auto& in) {
               return interpolate(in[0], {9, 13}, {.mode = InterpolateMode::bilinear});
             },
             {{{2, 5, 7, 6}}});
  check_bf16("cat",
             [](const auto& in) {
               return cat({in[0], in[1]}, -1);
             },
             {{{2, 5, 7, 32}}, {{2, 5, 7, 64}}});
  check_bf16("pad",
             [](const auto& in) {
               return pad(in[0], {1, 2, 3, 1}, PadMode::reflect);
             },
             {{{2, 5, 7, 6}}});
}

TEST_CASE("bf16 dropout keeps what f32 keeps") {
  Generator generator(1), again(1);
  const Tensor x = ones({1000}, {.dtype = bf16});
  CHECK(relative_error(dropout(x, 0.25, true, generator), dropout(x.to(f64), 0.25, true, again)) <
        rounded_once);
}

TEST_CASE("bf16 has the same bits with any number of threads") {
  const int threads = num_threads();
  const auto bits = [&](int n) {
    set_num_threads(n);
    std::vector<std::vector<double>> out;
    const auto keep = [&](const Results& results) {
      for (const Tensor& x : results.of_bf16) out.push_back(x.to_vector<double>());
    };
    keep(run(convolution({.padding = 1}), conv_inputs({2, 40, 40, 64}, 96, 3, 3, {})));
    keep(run(convolution({.padding = 1}), conv_inputs({1, 16, 16, 160}, 96, 3, 3, {})));
    keep(run(convolution({.padding = 1}), conv_inputs({1, 97, 97, 72}, 96, 3, 3, {})));
    keep(run(convolution({.padding = 1}), conv_inputs({4, 60, 64, 32}, 40, 3, 3, {})));
    keep(run(convolution({.padding = 1}), conv_inputs({1, 64, 64, 3}, 32, 3, 3, {})));
    keep(run([](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], {.stride = 2}); },
             {{{2, 20, 20, 64}}, {{64, 2, 2, 32}, bf16, 0.1}, {{32}, f32}}));
    keep(run([](const auto& in) { return batch_norm(in[0], in[1], in[2], {}, {}, {.relu = true}); },
             {{{2, 64, 64, 32}}, {{32}, f32}, {{32}, f32}}));
    return out;
  };
  const auto one = bits(1), two = bits(2);
  set_num_threads(threads);
  CHECK(one == two);
}

TEST_CASE("bf16 implementations say why they are passed over") {
  const ConvGeometry g{
      .n = 1, .h = 32, .w = 32, .c = 32, .h_out = 32, .w_out = 32, .k = 32, .kernel = 3, .padding = 1};
  const std::string text = cpu::explain_conv2d(g, bf16);
  CHECK((text == "winograd_bf16" ||
         text.find("the processor has no dot products of bf16") != std::string::npos ||
         text.find("above what KARYON_CONV allows") != std::string::npos));
  CHECK(cpu::explain_conv2d(g, f32).find("bf16") == std::string::npos);
}
