#include <karyon/core/ops/pixel_shuffle.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

Tensor shuffled(const Tensor& x, std::int64_t f) {
  const std::int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3) / f / f;
  Tensor y = zeros({n, h * f, w * f, c}, {.dtype = f64});
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const std::int64_t k = i % x.size(3), col = i / x.size(3) % w, row = i / x.size(3) / w % h,
                       image = i / x.size(3) / w / h;
    y.data<double>()[((image * h * f + row * f + k / f % f) * w * f + col * f + k % f) * c + k / f / f] =
        x.data<double>()[i];
  }
  return y;
}

}  // namespace

TEST_CASE("pixel_shuffle and pixel_unshuffle") {
  Generator generator(1);
  for (const std::int64_t f : {1, 2, 3})
    for (const Shape& shape : {Shape{2, 3, 4, 2 * f * f}, Shape{1, 1, 1, f * f}, Shape{1, 5, 2, 5 * f * f}}) {
      const Tensor x = randn(shape, generator);
      check_op(
          "pixel_shuffle", [&](const auto& in) { return pixel_shuffle(in[0], f); },
          [&](const auto& in) { return shuffled(in[0], f); }, {x});
      check_op(
          "pixel_unshuffle", [&](const auto& in) { return pixel_unshuffle(in[0], f); },
          [&](const auto&) { return x.to(f64); }, {pixel_shuffle(x, f)}, {.bf16 = false});
    }
  CHECK(pixel_shuffle(zeros({0, 2, 3, 4}), 2).shape() == Shape{0, 4, 6, 1});
  CHECK(pixel_unshuffle(zeros({2, 0, 4, 3}), 2).shape() == Shape{2, 0, 2, 12});
  CHECK(pixel_shuffle(arange(4).reshape({1, 1, 1, 4}), 2).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 1, 2, 3});
}

TEST_CASE("channel_shuffle") {
  const Tensor x = arange(6).to(f32).reshape({1, 1, 6});
  CHECK(channel_shuffle(x, 2).to_vector<float>() == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(channel_shuffle(x, 3).to_vector<float>() == std::vector<float>{0, 2, 4, 1, 3, 5});
  CHECK(channel_shuffle(zeros({0, 2, 6}), 3).shape() == Shape{0, 2, 6});
  CHECK(channel_shuffle(zeros({2, 2, 0}), 3).shape() == Shape{2, 2, 0});
}

TEST_CASE("pixel_shuffle: what is refused") {
  CHECK_THROWS_WITH(pixel_shuffle(ones({2, 3, 4}), 2),
                    Contains("pixel_shuffle: expects images [N, H, W, C]"));
  CHECK_THROWS_WITH(pixel_shuffle(ones({1, 2, 2, 6}), 2), Contains("channels divisible by 4"));
  CHECK_THROWS_WITH(pixel_shuffle(ones({1, 2, 2, 4}), 0), Contains("a factor of 1 or more, got 0"));
  CHECK_THROWS_WITH(pixel_unshuffle(ones({1, 3, 2, 4}), 2), Contains("divisible by 2"));
  CHECK_THROWS_WITH(channel_shuffle(ones({1, 2, 5}), 2), Contains("channel_shuffle: expects channels"));
  CHECK_THROWS_WITH(channel_shuffle(ones({2, 4}), 2), Contains("at least 3 dimensions"));
}
