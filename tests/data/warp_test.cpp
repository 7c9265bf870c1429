#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/data/warp.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>

#include "op_check.h"

using namespace karyon;
using Doubles = std::vector<double>;

namespace {

Tensor example(DType dtype = f64) {
  return tensor(Doubles{0, 0.5, 1, 0.4, 0.7, 0.1, 0.6, 0, 0.3, 0.8, 0.2, 0.7}, {3, 4, 1}, {.dtype = dtype});
}

void check_close(const Tensor& x, const Doubles& expected) {
  const auto values = x.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO("value " << i);
    CHECK(values[i] == Approx(expected[i]).margin(2e-6));
  }
}

/// Image and mask [1, 20, 24, 1] with the same content: a ramp of whole numbers.
Sample ramp() {
  const Tensor values = arange(20 * 24).reshape({1, 20, 24, 1});
  return {values.to(f32), values};
}

}  // namespace

TEST_CASE("warp: turns and scales equal torchvision's") {
  check_close(rotate(example(), 30),
              {0.13457578, 0.692588482, 0.58660254, 0.0325317547, 0.220216426, 0.233493649, 0.484927858,
               0.479783574, 0.458141571, 0.497603897, 0.47751634, 0.134206437});
  check_close(rotate((example() * 10 + 0.5).to(i64), -50), {3, 7, 5, 0, 8, 1, 6, 10, 0, 2, 0, 4});
  check_close(affine(example(), {.scale = 2, .down = -1, .right = 1}),
              {0.55, 0.25, 0.225, 0.475, 0.4875, 0.4625, 0.4375, 0.4125, 0.425, 0.675, 0.65, 0.35});
}

TEST_CASE("warp: a quarter turn is rot90, no change is the image, a shear moves rows") {
  const Tensor x = arange(2 * 5 * 5 * 2, {.dtype = f32}).reshape({2, 5, 5, 2});
  check_close(rotate(x, 90), rot90(x).to_vector<double>());
  check_close(affine(x, {}), x.to_vector<double>());
  check_close(affine(x.to(i64), {.down = 1}).reshape({2, 25, 2}),
              pad(crop(x, 0, 0, {4, 5}), {.top = 1}).to_vector<double>());
  const Tensor line = tensor(Doubles{0, 1, 0, 0, 1, 0, 0, 1, 0}, {3, 3, 1});
  check_close(affine(line, {.shear = 45}), {0, 0, 1, 0, 1, 0, 1, 0, 0});
}

TEST_CASE("warp: positions between pixels, at the border and outside") {
  const Tensor x = tensor(Doubles{0, 10, 20, 30}, {2, 2, 1});
  const Tensor at = tensor(Doubles{0.5, 0.5, 0, 0.25, -0.5, 0, 1, 1.75, 5, 5, -1, 0, 2, 0}, {1, 7, 2});
  check_close(warp(x, at), {15, 2.5, 0, 7.5, 0, 0, 0});
  check_close(warp(x, at, PadMode::reflect), {15, 2.5, 10, 22.5, 30, 20, 0});
  check_close(warp(x.to(u8), at), {0, 0, 0, 0, 0, 0, 0});  // halves go to even places
  CHECK(warp(zeros({0, 2, 2, 3}), at).shape() == Shape{0, 1, 7, 3});
  CHECK(warp(zeros({1, 1, 3}), at, PadMode::reflect).shape() == Shape{1, 7, 3});
  const Tensor nowhere = full({1, 1, 2}, NAN);
  CHECK(warp(x.to(u8), nowhere, PadMode::reflect).to_vector<double>() == Doubles{0});
}

TEST_CASE("warp: a mask stays with its image") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Generator a(seed), b(seed);
    const RandomAffineOptions options{
        .degrees = 180, .scale_low = 0.7, .scale_high = 1.4, .shear = 10, .translate = 0.1};
    const Sample first = random_affine(ramp(), options, a), again = random_affine(ramp(), options, b);
    CHECK(first[0].to_vector<float>() == again[0].to_vector<float>());
    CHECK(first[1].dtype() == i64);
    // The ramp is a plane: the nearest pixel differs by at most half a row and half a pixel.
    const auto image = first[0].to_vector<double>(), mask = first[1].to_vector<double>();
    int compared = 0, far = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (image[i] < 60 || mask[i] < 60) continue;  // near what is outside
      ++compared;
      far += std::abs(image[i] - mask[i]) > 12.6;
    }
    CHECK(far < compared / 5);  // at the border, an interpolated pixel is partly outside
    CHECK(compared > 60);
  }
  Generator generator(1);
  const Sample bent = random_elastic(ramp(), {.alpha = 0, .sigma = 3}, generator);
  CHECK(bent[0].to_vector<float>() == ramp()[0].to_vector<float>());
  const Sample more = random_elastic(ramp(), {.alpha = 20, .sigma = 3}, generator);
  CHECK(more[0].to_vector<float>() != ramp()[0].to_vector<float>());
  CHECK(more[1].dtype() == i64);
}

TEST_CASE("warp: a random window of another size") {
  Generator generator(2);
  for (int i = 0; i < 20; ++i) {
    const Sample out = random_resized_crop(ramp(), {7, 9}, {}, generator);
    CHECK(out[0].shape() == Shape{1, 7, 9, 1});
    CHECK(out[1].shape() == Shape{1, 7, 9, 1});
    const auto image = out[0].to_vector<double>();
    CHECK(image.front() >= 0);
    CHECK(image.back() <= 479);
    CHECK(image.front() < image.back());
  }
  const Sample whole = random_resized_crop(
      ramp(), {20, 24}, {.scale_low = 1, .scale_high = 1, .ratio_low = 1.2, .ratio_high = 1.2}, generator);
  CHECK(whole[0].to_vector<float>() == ramp()[0].to_vector<float>());
  const Sample wide = random_resized_crop(ramp(), {1, 1}, {.ratio_low = 90, .ratio_high = 100}, generator);
  CHECK(wide[0].shape() == Shape{1, 1, 1, 1});
}

TEST_CASE("warp: the same bits with any number of threads") {
  CHECK(test::same_for_any_thread_count([] {
    Generator generator(5);
    return random_elastic({rand({2, 65, 70, 3}, generator)}, {}, generator)[0];
  }));
}

TEST_CASE("warp: what is refused") {
  Generator generator(1);
  CHECK_THROWS_WITH(warp(zeros({3, 3}), zeros({1, 1, 2})),
                    Catch::Contains("expects [H, W, C] or [N, H, W, C]"));
  CHECK_THROWS_WITH(warp(example(), zeros({1, 2})), Catch::Contains("expects f32 positions [H, W, 2]"));
  CHECK_THROWS_WITH(warp(example().to(bf16), zeros({1, 1, 2})), Catch::Contains("bf16"));
  CHECK_THROWS_WITH(affine(example(), {.scale = 0}), Catch::Contains("expects scale > 0"));
  CHECK_THROWS_WITH(random_affine({}, {}, generator), "random_affine: expects at least one tensor");
  CHECK_THROWS_WITH(random_affine({example(), zeros({2, 2, 1})}, {}, generator),
                    Catch::Contains("images of 3 x 4"));
  CHECK_THROWS_WITH(random_affine({example()}, {.scale_low = 2}, generator), Catch::Contains("scale_low"));
  CHECK_THROWS_WITH(random_resized_crop({example()}, {0, 1}, {}, generator), Catch::Contains("and a size"));
  CHECK_THROWS_WITH(random_resized_crop({example()}, {1, 1}, {.scale_low = 0}, generator),
                    Catch::Contains("ranges above 0"));
}
