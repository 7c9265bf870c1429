// Sizes at the ends of 64 bits: an Error that names the operation, never a wrapped size, a crash or a hang.
#include <catch2/catch.hpp>
#include <limits>

#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/resize.h>
#include <karyon/core/random.h>

#include "op_check.h"

using namespace karyon;
using Catch::Contains;
using Catch::StartsWith;

namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max(), half = std::int64_t{1} << 62;

Tensor image(std::int64_t channels = 1) { return ones({1, 10, 10, channels}); }

}  // namespace

TEST_CASE("sizes that wrap around: shapes") {
  for (const auto make : {+[](const Shape& s) { return zeros(s); }, +[](const Shape& s) { return rand(s); },
                          +[](const Shape& s) { return zeros({0}).reshape(s); },
                          +[](const Shape& s) { return view(zeros({0}), s); }}) {
    CHECK_THROWS_WITH(make({half, 4, 0}), Contains("[4611686018427387904, 4, 0] is too large"));
    CHECK_THROWS_WITH(make({0, half}), Contains("is too large"));
    CHECK_THROWS_WITH(make({half, 4}), Contains("is too large"));
    CHECK_THROWS_WITH(make({2, -3}), Contains("negative size in [2, -3]"));
  }
  CHECK_THROWS_WITH(arange(half), Contains("is too large"));
  CHECK_THROWS_WITH(zeros({std::int64_t{1} << 45}, {.dtype = f64}), StartsWith("allocate: "));
  CHECK_THROWS_WITH(matmul(zeros({half >> 20, 0}), zeros({0, half >> 20})), Contains("is too large"));
  CHECK_THROWS_WITH(layer_norm(ones({2}), {half, 4, 0}), Contains("layer_norm") || Contains("too large"));
}

TEST_CASE("sizes that wrap around: layout and interpolation") {
  for (const PadMode mode : {PadMode::zeros, PadMode::reflect}) {
    CHECK_THROWS_WITH(pad(image(), {.top = most, .bottom = most}, mode), StartsWith("pad: a size of"));
    CHECK_THROWS_WITH(pad(image(), {.left = most}, mode), StartsWith("pad: a size of"));
  }
  CHECK_THROWS_WITH(split(ones({5}), {most, most, 7}, 0), StartsWith("split: a size of"));
  CHECK_THROWS_WITH(split(ones({5}), {6, -1}, 0), StartsWith("split: expects sizes of at least 0, got -1"));
  CHECK(split(ones({5}), most, 0).size() == 1);
  CHECK_THROWS_WITH(narrow(ones({5}), 0, 1, most), StartsWith("narrow: "));
  CHECK_THROWS_WITH(crop(image(), 1, 1, {most, 2}), StartsWith("crop: "));
  CHECK_THROWS_WITH(interpolate(image(), half), Contains("is too large"));
  CHECK_THROWS_WITH(adaptive_avg_pool2d(image(), half), Contains("is too large"));
}

TEST_CASE("sizes that wrap around: convolutions") {
  const Tensor three = ones({1, 3, 3, 1}), nine = ones({1, 9, 9, 1});
  for (const std::int64_t padding : {most, half, half - 1})
    CHECK_THROWS_WITH(conv2d(image(), three, {}, {.padding = padding}), Contains("too large"));
  CHECK_THROWS_WITH(conv2d(image(), nine, {}, {.dilation = half / 2}),
                    StartsWith("conv2d: a kernel of (9, 9) with padding (0, 0) and dilation"));
  CHECK_THROWS_WITH(conv2d(image(), three, {}, {.dilation = most}), Contains("too large"));
  CHECK_THROWS_WITH(conv2d(image(), three, {}, {.dilation = half / 2}), Contains("smaller than the kernel"));
  CHECK_THROWS_WITH(conv2d(ones({1, 4, 4, 4}), ones({1, 1, 1, 4}), {}, {.groups = half + 1}),
                    StartsWith("conv2d: a size of"));
  CHECK(conv2d(image(), three, {}, {.stride = most}).shape() == Shape{1, 1, 1, 1});

  CHECK_THROWS_WITH(conv_transpose2d(image(), nine, {}, {.dilation = half}),
                    StartsWith("conv_transpose2d: a size of"));
  CHECK_THROWS_WITH(conv_transpose2d(image(), three, {}, {.stride = half}),
                    StartsWith("conv_transpose2d: a size of"));
  CHECK_THROWS_WITH(conv_transpose2d(image(), three, {}, {.padding = most}),
                    StartsWith("conv_transpose2d: a size of"));
  CHECK_THROWS_WITH(conv_transpose2d(image(), three, {}, {.padding = half - 1}), Contains("empty output"));
  CHECK_THROWS_WITH(conv_transpose2d(image(), three, {}, {.stride = half / 8, .output_padding = half / 16}),
                    Contains("too large"));
}

TEST_CASE("convolutions whose windows reach far beyond the image") {
  const std::int64_t far = std::int64_t{1} << 40;
  Generator generator(1);
  const Tensor x = randn({1, 4, 5, 2}, generator), w = randn({3, 3, 3, 2}, generator);
  // All taps but the middle one lie outside: a 1 x 1 convolution.
  const Tensor middle = crop(w, 1, 1, 1);
  for (const DType dtype : {f32, f64, bf16}) {
    const auto leaf = [&](const Tensor& t) { return t.to(dtype).clone().requires_grad_(); };
    const Tensor a = leaf(x), b = leaf(x), v = leaf(w), u = leaf(middle);
    const Tensor y = conv2d(a, v, {}, {.padding = far, .dilation = far}), expected = conv2d(b, u);
    REQUIRE(y.shape() == expected.shape());
    CHECK(test::difference(y, expected) <= 1e-2);
    const Tensor dy = randn(y.shape(), generator).to(dtype);
    y.backward(dy);
    expected.backward(dy);
    CHECK(test::difference(a.grad(), b.grad()) <= 1e-2);
    CHECK(test::difference(crop(v.grad(), 1, 1, 1), u.grad()) <= 1e-2);
    CHECK(sum(v.grad().to(f32)).item() == Approx(sum(u.grad().to(f32)).item()).margin(1e-3));
  }
  // Two pixels whose results lie far apart: only three rows of what is between remain.
  const Tensor two = randn({1, 2, 1, 1}, generator), filter = randn({1, 3, 1, 1}, generator);
  const Tensor y = conv_transpose2d(two, filter, {}, {.stride = {far, 1}, .padding = {far / 2, 0}});
  REQUIRE(y.shape() == Shape{1, 3, 1, 1});
  CHECK(sum(abs(y)).item() == 0);
}

TEST_CASE("pools with kernels far larger than the image") {
  const std::int64_t far = std::int64_t{1} << 40;
  Tensor x = arange(35, {.dtype = f32}).reshape({1, 5, 7, 1}).requires_grad_();
  const MaxPool2dOptions tall{.kernel_size = {far, 1}, .stride = 1, .padding = {far / 2, 0}};
  const Tensor y = max_pool2d(x, tall);
  REQUIRE(y.shape() == Shape{1, 6, 7, 1});
  CHECK(max(y).item() == 34);
  sum(y).backward();
  CHECK(x.grad().to_vector<float>()[34] == 6);
  CHECK(sum(x.grad()).item() == 42);
  const Tensor mean = avg_pool2d(
      x, {.kernel_size = {far, 1}, .stride = 1, .padding = {far / 2, 0}, .count_include_pad = false});
  CHECK(mean.to_vector<float>()[7] == 14);

  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = far, .stride = 1, .padding = far / 2}),
                    StartsWith("max_pool2d: a size of"));
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = {most, 1}, .stride = 1, .padding = {most / 2, 0}}),
                    StartsWith("max_pool2d: a kernel of"));
  CHECK_THROWS_WITH(avg_pool2d(x, {.kernel_size = {most, 1}, .stride = 1, .padding = {most / 2, 0}}),
                    StartsWith("avg_pool2d: a kernel of"));
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = 5, .stride = 1, .dilation = half}), Contains("too large"));
  CHECK(max_pool2d(x, {.kernel_size = 2, .stride = most}).shape() == Shape{1, 1, 1, 1});
}
