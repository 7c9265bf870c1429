// Convolutions of bf16 on the device, which has no counterpart on the CPU, against f64 on the same values.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/kernels/conv.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/random.h>

#include "test_device.h"

using namespace karyon;

namespace {

const Device cuda = Device::cuda();

// Random values that bf16 can hold.
Tensor random(const Shape& shape) { return randn(shape).to(bf16).to(f64); }

void check_near(const char* what, const Tensor& device, const Tensor& expected) {
  INFO(what << " " << expected.shape());
  CHECK(device.dtype() == bf16);
  const auto got = device.to_vector<double>(), want = expected.to_vector<double>();
  REQUIRE(got.size() == want.size());
  double largest = 0, off = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(want[i]));
    off = std::max(off, std::isfinite(got[i]) ? std::abs(got[i] - want[i]) : INFINITY);
  }
  CHECK(off <= largest / 128);  // two roundings to 8 bits
}

const ConvGeometry geometries[] = {
    {.n = 2, .h = 6, .w = 5, .c = 8, .h_out = 6, .w_out = 5, .k = 16, .kernel = 3, .padding = 1},
    {.n = 1, .h = 4, .w = 4, .c = 16, .h_out = 4, .w_out = 4, .k = 8},
    {.n = 2, .h = 8, .w = 6, .c = 8, .h_out = 4, .w_out = 3, .k = 16, .kernel = 2, .stride = 2},
    {.n = 1, .h = 5, .w = 4, .c = 3, .h_out = 5, .w_out = 4, .k = 8, .kernel = 3, .padding = 1},
};

}  // namespace

TEST_CASE("convolutions of bf16 in all directions agree with f64") {
  manual_seed(5);
  for (const ConvGeometry& g : geometries) {
    const Tensor x = random({g.n, g.h, g.w, g.c}), dy = random({g.n, g.h_out, g.w_out, g.k}),
                 weight = random({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}), bias_x = random({g.c}),
                 bias_y = random({g.k});
    const auto there = [](const Tensor& t) { return t.to(bf16).to(cuda); };
    const TensorOptions f{.dtype = f64}, b{.dtype = bf16, .device = cuda};

    Tensor expected = empty(dy.shape(), f), got = empty(dy.shape(), b);
    kernels::conv2d(g, {}, x, weight, bias_y, expected);
    kernels::conv2d(g, {}, there(x), there(weight), there(bias_y), got);
    check_near("forward", got, expected);

    for (const Tensor& bias : {Tensor(), bias_x}) {
      expected = empty(x.shape(), f), got = empty(x.shape(), b);
      kernels::conv2d_backward_data(g, {}, dy, weight, bias, expected);
      kernels::conv2d_backward_data(g, {}, there(dy), there(weight), bias.defined() ? there(bias) : bias,
                                    got);
      check_near("backward in x", got, expected);
    }

    expected = empty(weight.shape(), f), got = empty(weight.shape(), b);
    kernels::conv2d_backward_weight(g, x, dy, expected);
    kernels::conv2d_backward_weight(g, there(x), there(dy), got);
    check_near("backward in the weight", got, expected);
  }
}

TEST_CASE("a convolution of bf16 with scale, shift and ReLU takes parameters of bf16 and f32") {
  manual_seed(6);
  for (const ConvGeometry& g : geometries)
    for (const DType parameters : {bf16, f32})
      for (const bool with_scale : {false, true}) {
        const Tensor x = random({g.n, g.h, g.w, g.c}),
                     weight = random({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}), shift = random({g.k}),
                     scale = with_scale ? random({g.k}) : Tensor();
        const auto there = [](const Tensor& t, DType dtype) {
          return t.defined() ? t.to(dtype).to(cuda) : t;
        };
        Tensor expected = empty({g.n, g.h_out, g.w_out, g.k}, {.dtype = f64}),
               got = empty(expected.shape(), {.dtype = bf16, .device = cuda});
        kernels::conv2d_affine(g, {}, x, weight, scale, shift, {ActivationKind::relu}, expected);
        kernels::conv2d_affine(g, {}, there(x, bf16), there(weight, bf16), there(scale, parameters),
                               there(shift, parameters), {ActivationKind::relu}, got);
        INFO("parameters of " << parameters << (with_scale ? ", with scale" : ""));
        check_near("affine", got, expected);
      }
}

TEST_CASE("NaN stays NaN through a convolution with ReLU") {
  const ConvGeometry& g = geometries[0];
  for (const DType dtype : {f32, bf16})
    for (const bool with_scale : {false, true}) {
      Tensor x = ones({g.n, g.h, g.w, g.c});
      x.data<float>()[0] = NAN;  // a corner: its pixel and three neighbours
      const auto there = [&](const Tensor& t) { return t.to(dtype).to(cuda); };
      const Tensor weight = ones({g.k, 3, 3, g.c}), shift = ones({g.k});
      Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, {.dtype = dtype, .device = cuda});
      kernels::conv2d_affine(g, {}, there(x), there(weight), with_scale ? there(shift) : Tensor(),
                             there(shift), {ActivationKind::relu}, y);
      INFO(dtype << (with_scale ? ", with scale" : ""));
      const auto values = y.to_vector<float>();
      const auto count = std::ranges::count_if(values, [](float v) { return std::isnan(v); });
      CHECK(count == 4 * g.k);
    }
}
