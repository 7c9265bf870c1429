// Every engine by itself against plain loops, whatever the table would choose.
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/random.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "conv_job.h"
#include "op_check.h"

using namespace karyon;
using cpu::ConvDirection;
using test::ConvJob;
using test::geometry;

TEST_CASE("convolution engines: names are unique, and the last engine refuses nothing") {
  std::set<std::string_view> names;
  for (const cpu::ConvEngine& engine : cpu::conv_engines()) names.insert(engine.name);
  CHECK(names.size() == cpu::conv_engines().size());
  const cpu::ConvEngine& last = cpu::conv_engines().back();
  CHECK(last.name == "reference");
  const ConvGeometry g = geometry({1, 9, 9, 6, 4, 3, 2, 1, 2, 2});
  for (const auto direction :
       {ConvDirection::forward, ConvDirection::backward_data, ConvDirection::backward_weight})
    for (const DType dtype : {f32, f64, bf16}) CHECK(last.refuse(direction, g, dtype) == nullptr);
}

TEST_CASE("convolution engines: each computes what the reference does in f64") {
  const ConvJob job = GENERATE(values<ConvJob>({{2, 18, 18, 32, 34, 3, 1, 1},
                                                {2, 16, 16, 32, 16, 2, 2},
                                                {1, 17, 17, 6, 10, 5, 2, 2},
                                                {1, 13, 13, 6, 8, 3, 1, 2, 2, 2},
                                                {3, 8, 8, 33, 65, 1},
                                                // Dilations so wide that taps are left out, some everywhere.
                                                {2, 9, 11, 20, 33, 3, 1, 6, 6},
                                                {1, 13, 10, 300, 40, 3, {2, 1}, {8, 7}, {8, 7}, 2},
                                                {1, 3, 40, 16, 16, {1, 5}, 1, {0, 20}, {1, 10}},
                                                {3, 4, 5, 24, 40, 3, 1, 9, 9},
                                                {1, 40, 40, 17, 20, 3, 1, 24, 24},
                                                {1, 9, 9, 8, 8, 2, 3, 20, 30},
                                                // Groups of 2, 4, 8, 16 and 3 channels.
                                                {1, 6, 6, 18, 18, 3, 1, 1, 1, 9},
                                                {2, 9, 14, 32, 32, 3, 1, 1, 1, 8},
                                                {2, 8, 9, 24, 24, {3, 5}, 2, 1, 1, 3},
                                                {1, 7, 7, 48, 48, 3, 1, 1, 1, 3},
                                                {1, 5, 12, 64, 64, 7, {2, 1}, 3, {1, 2}, 8},
                                                {1, 6, 6, 18, 18, 3, 1, 1, 1, 6},
                                                // Larger groups, with odd and other numbers of outputs.
                                                {1, 7, 9, 39, 39, 3, 1, 1, 1, 3},
                                                {2, 5, 6, 32, 80, 3, 1, {2, 1}, {2, 1}, 2},
                                                {1, 9, 8, 64, 32, 3, 2, 1, 1, 2},
                                                // Depthwise: the last channels are no whole vector,
                                                {2, 9, 7, 24, 24, 3, 1, 1, 1, 24},
                                                {1, 11, 23, 40, 40, 5, 2, 2, 1, 40},
                                                {1, 7, 7, 80, 80, 7, 1, 3, 1, 80},
                                                {1, 15, 18, 17, 17, 3, {1, 2}, {4, 3}, {4, 2}, 17},
                                                // several outputs for each channel,
                                                {2, 8, 9, 32, 64, {3, 1}, {2, 1}, {1, 0}, 1, 32},
                                                {1, 6, 6, 7, 21, {1, 4}, 1, {0, 2}, 1, 7},
                                                // filters that reach over more than the image,
                                                {1, 3, 2, 16, 16, 5, 1, 4, 1, 16},
                                                {1, 4, 4, 16, 16, 9, 1, 8, 2, 16},
                                                // inputs that no output reads.
                                                {1, 20, 19, 16, 16, 2, 3, 0, 1, 16}}));
  const DType dtype = GENERATE(f32, bf16);
  const ConvGeometry g = geometry(job);
  Generator generator(1);
  const Tensor x = randn({g.n, g.h, g.w, g.c}, generator).to(dtype),
               w = randn({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}, generator).to(dtype),
               dy = randn({g.n, g.h_out, g.w_out, g.k}, generator).to(dtype);
  const Tensor bias = randn({g.k}, generator), bias_x = randn({g.c}, generator),
               scale = randn({g.k}, generator);
  const Tensor residual = randn(dy.shape(), generator).to(dtype);
  const auto wide = [](const Tensor& t) { return t.defined() ? t.to(f64) : t; };
  const cpu::ConvEngine& reference = cpu::conv_engines().back();
  // Winograd in bf16 rounds its transformed tiles as well.
  const double tolerance = dtype == bf16 ? 0.04 : 3e-5;
  for (const cpu::ConvEngine& engine : cpu::conv_engines()) {
    INFO(engine.name << " in " << dtype);
    if (!engine.refuse(ConvDirection::forward, g, dtype)) {
      Tensor y = empty(dy.shape(), {.dtype = dtype}), expected = empty(dy.shape(), {.dtype = f64});
      engine.forward(g, {}, x, w, bias, y);
      reference.forward(g, {}, wide(x), wide(w), wide(bias), expected);
      CHECK(test::difference(y, expected) < tolerance);
      for (const auto& [factor, added] :
           {std::pair{scale, Tensor()}, std::pair{scale, residual}, std::pair{Tensor(), residual}}) {
        double largest = 1;  // of the values before an activation
        for (const ActivationKind activation :
             {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::silu,
              ActivationKind::hardswish, ActivationKind::gelu}) {
          engine.affine(g, {}, x, w, factor, bias, {activation, added}, y);
          reference.affine(g, {}, wide(x), wide(w), wide(factor), wide(bias), {activation, wide(added)},
                           expected);
          INFO("activation " << static_cast<int>(activation) << (factor.defined() ? ", a scale" : "")
                             << (added.defined() ? ", a residual" : ""));
          if (activation == ActivationKind::none) largest = expected.abs().max().item<double>();
          const double limited = activation == ActivationKind::relu6 ? std::max(1.0, largest / 6) : 1;
          CHECK(test::difference(y, expected) < tolerance * limited);
        }
      }
    }
    if (!engine.refuse(ConvDirection::backward_data, g, dtype)) {
      Tensor dx = empty(x.shape(), {.dtype = dtype}), expected = empty(x.shape(), {.dtype = f64});
      engine.backward_data(g, {}, dy, w, bias_x, dx);
      reference.backward_data(g, {}, wide(dy), wide(w), wide(bias_x), expected);
      CHECK(test::difference(dx, expected) < tolerance);
    }
    if (!engine.refuse(ConvDirection::backward_weight, g, dtype)) {
      Tensor dw = empty(w.shape(), {.dtype = dtype}), expected = empty(w.shape(), {.dtype = f64});
      engine.backward_weight(g, x, dy, dw);
      reference.backward_weight(g, wide(x), wide(dy), expected);
      CHECK(test::difference(dw, expected) < tolerance);
    }
  }
}

TEST_CASE("convolution engines: without images the gradient in the weights is zero") {
  const ConvGeometry g = geometry({0, 18, 18, 32, 64, 3, 1, 1});
  const DType dtype = GENERATE(f32, bf16);
  const Tensor x = empty({0, 18, 18, 32}, {.dtype = dtype}), dy = empty({0, 18, 18, 64}, {.dtype = dtype});
  int taken = 0;
  for (const cpu::ConvEngine& engine : cpu::conv_engines()) {
    if (engine.refuse(ConvDirection::backward_weight, g, dtype)) continue;
    INFO(engine.name << " in " << dtype);
    Tensor dw = full({64, 3, 3, 32}, 7, {.dtype = dtype});
    engine.backward_weight(g, x, dy, dw);
    CHECK(dw.to_vector<float>() == std::vector<float>(64 * 9 * 32, 0));
    ++taken;
  }
  CHECK(taken >= 2);
}
