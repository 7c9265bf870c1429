// Convolutions in bf16 on the CPU, against themselves in f64.
#include "bf16_check.h"

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/layout.h>

using namespace karyon;
using namespace karyon::test;

namespace {

// Winograd rounds its planes: 1.12e-2 with normally distributed values.
constexpr double winograd = 1.2e-2;

Op convolution(const Conv2dOptions& options) {
  return [options](const auto& in) { return conv2d(in[0], in[1], in[2], options); };
}
std::vector<Bf16Input> conv_inputs(const Shape& x, std::int64_t out, std::int64_t kh, std::int64_t kw,
                                   const Conv2dOptions& options) {
  return {{x}, {{out, kh, kw, x[3] / options.groups}, bf16, 0.1}, {{out}, f32}};
}

}  // namespace

TEST_CASE("bf16 conv2d by Winograd over odd shapes", "[cpu]") {
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

TEST_CASE("bf16 conv2d of other geometries", "[cpu]") {
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

TEST_CASE("bf16 conv_transpose2d", "[cpu]") {
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
  check_bf16(
      "conv_transpose2d",
      [&, &options = options](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], options); },
      {{x}, {{x[3], kernel, kernel, out}, bf16, 0.1}, {{out}, f32}});
}

TEST_CASE("bf16 conv2d_affine of parts is conv2d_affine of the joined images", "[cpu]") {
  const NoGradGuard no_grad;
  Generator generator(6);
  for (const std::int64_t other : {64, 40}) {
    const std::vector<Tensor> parts{randn({1, 21, 22, 32}, generator).to(bf16),
                                    randn({1, 21, 22, other}, generator).to(bf16)};
    for (const std::int64_t kernel : {1, 3}) {
      const Tensor w = randn({32, kernel, kernel, 32 + other}, generator).to(bf16);
      const Conv2dAffineOptions options{.conv = {.padding = kernel / 2}, .activation = ActivationKind::relu};
      CHECK(conv2d_affine(parts, w, {}, {}, options).to_vector<float>() ==
            conv2d_affine(cat(parts, -1), w, {}, {}, options).to_vector<float>());
    }
  }
}

TEST_CASE("bf16 conv2d_affine", "[cpu]") {
  const NoGradGuard no_grad;
  Generator generator(2);
  const bool relu = GENERATE(false, true), scaled = GENERATE(false, true);
  for (const std::int64_t kernel : {1, 3, 5}) {
    const Tensor x = randn({2, 20, 18, 40}, generator).to(bf16);
    const Tensor w = mul(randn({33, kernel, kernel, 40}, generator), 0.1).to(bf16);
    const Tensor scale = scaled ? randn({33}, generator) : Tensor(),
                 scale64 = scaled ? scale.to(f64) : Tensor(), shift = randn({33}, generator);
    const Conv2dAffineOptions options{.conv = {.padding = kernel / 2},
                                      .activation = relu ? ActivationKind::relu : ActivationKind::none};
    const Tensor y = conv2d_affine(x, w, scale, shift, options);
    const Tensor expected = conv2d_affine(x.to(f64), w.to(f64), scale64, shift.to(f64), options);
    CHECK(y.dtype() == bf16);
    CHECK(relative_error(y, expected) < (kernel == 3 ? winograd : rounded_once));
  }
}

TEST_CASE("bf16 implementations say why they are passed over", "[cpu]") {
  const ConvGeometry g{
      .n = 1, .h = 32, .w = 32, .c = 32, .h_out = 32, .w_out = 32, .k = 32, .kernel = 3, .padding = 1};
  const std::string text = cpu::explain_conv2d(g, bf16);
  CHECK((text == "winograd_bf16" ||
         text.find("the processor has no dot products of bf16") != std::string::npos ||
         text.find("above what KARYON_CONV allows") != std::string::npos));
  CHECK(cpu::explain_conv2d(g, f32).find("bf16") == std::string::npos);
}

TEST_CASE("bf16 convolutions give the same bits with any number of threads", "[cpu]") {
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16(convolution({.padding = 1}), conv_inputs({2, 40, 40, 64}, 96, 3, 3, {})).of_bf16;
  }));
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16(convolution({.padding = 1}), conv_inputs({1, 16, 16, 160}, 96, 3, 3, {})).of_bf16;
  }));
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16(convolution({.padding = 1}), conv_inputs({1, 97, 97, 72}, 96, 3, 3, {})).of_bf16;
  }));
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16(convolution({.padding = 1}), conv_inputs({4, 60, 64, 32}, 40, 3, 3, {})).of_bf16;
  }));
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16(convolution({.padding = 1}), conv_inputs({1, 64, 64, 3}, 32, 3, 3, {})).of_bf16;
  }));
  CHECK(same_for_any_thread_count([] {
    return run_in_bf16([](const auto& in) { return conv_transpose2d(in[0], in[1], in[2], {.stride = 2}); },
                       {{{2, 20, 20, 64}}, {{64, 2, 2, 32}, bf16, 0.1}, {{32}, f32}})
        .of_bf16;
  }));
}
