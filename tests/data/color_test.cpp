#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/data/color.h>
#include <karyon/core/ops/layout.h>

#include "op_check.h"

using namespace karyon;
using Doubles = std::vector<double>;

namespace {

Tensor rgb() {
  return tensor(Doubles{0, 0.7, 0.4, 0.5, 0.2, 0.9, 0.3, 0, 0.7, 0.8, 0.5, 0.2, 0.6, 0.3, 0, 0.1, 0.8, 0.5},
                {3, 2, 3}, {.dtype = f64});
}

void check_close(const Tensor& x, const Doubles& expected) {
  const auto values = x.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO("value " << i);
    CHECK(values[i] == Approx(expected[i]).margin(1e-6));
  }
}

}  // namespace

TEST_CASE("color: adjustments equal torchvision's") {
  check_close(adjust_brightness(rgb(), 1.4),
              {0, 0.98, 0.56, 0.7, 0.28, 1, 0.42, 0, 0.98, 1, 0.7, 0.28, 0.84, 0.42, 0, 0.14, 1, 0.7});
  check_close(adjust_contrast(rgb(), 1.7),
              {0, 0.902676833, 0.392676833, 0.562676833, 0.0526768333, 1, 0.222676833, 0, 0.902676833, 1,
               0.562676833, 0.0526768333, 0.732676833, 0.222676833, 0, 0, 1, 0.562676833});
  check_close(adjust_saturation(rgb(), 0.3),
              {0.31955, 0.52955, 0.43955, 0.408615, 0.318615, 0.528615, 0.208629, 0.118629, 0.328629,
               0.628794, 0.538794, 0.448794, 0.428808, 0.338808, 0.248808, 0.419543, 0.629543, 0.539543});
  check_close(adjust_hue(rgb(), 0.2),
              {0, 0.16, 0.7, 0.9, 0.2, 0.46, 0.7, 0, 0.26, 0.38, 0.8, 0.2, 0.18, 0.6, 0, 0.1, 0.26, 0.8});
  check_close(adjust_hue(rgb(), -0.45),
              {0.7, 0, 0.09, 0.39, 0.9, 0.2, 0.19, 0.7, 0, 0.2, 0.32, 0.8, 0, 0.12, 0.6, 0.8, 0.1, 0.19});
  check_close(adjust_gamma(rgb(), 2.2, 0.9),
              {0, 0.410637113, 0.119887662, 0.195873877, 0.0260920679, 0.713799156, 0.0636662499, 0,
               0.410637113, 0.55085904, 0.195873877, 0.0260920679, 0.292533266, 0.0636662499, 0, 0.0056786161,
               0.55085904, 0.195873877});
}

TEST_CASE("color: a blur equals torchvision's") {
  const Tensor x = cat({rgb(), rgb(), rgb()}, 1), tall = cat({x, x}, 0);  // 6 x 6
  const Tensor y = gaussian_blur(stack({tall, tall}), 1.3, 5);
  CHECK(y.shape() == Shape{2, 6, 6, 3});
  check_close(crop(y, 0, 0, {3, 2})[1],
              {0.407642229, 0.370208503, 0.474596934, 0.419804257, 0.377343832, 0.475405424, 0.395165381,
               0.386485906, 0.468173288, 0.40562255, 0.392971165, 0.471336707, 0.380304542, 0.411268545,
               0.449990608, 0.387439871, 0.417753804, 0.456475868});
  check_close(gaussian_blur(full({1, 1, 2}, 0.25), 50), {0.25, 0.25});
  check_close(gaussian_blur(full({2, 3, 1}, 0.25), 9), Doubles(6, 0.25));  // wider than the image
  check_close(gaussian_blur(rgb(), 1, 1), rgb().to_vector<double>());
  CHECK(gaussian_blur(zeros({0, 3, 3, 1}), 1).shape() == Shape{0, 3, 3, 1});
  CHECK(test::same_for_any_thread_count([] {
    Generator generator(5);
    return gaussian_blur(rand({2, 61, 67, 3}, generator), 3);
  }));
}

TEST_CASE("color: jitter is random for each image, and stays in range") {
  const Tensor images = stack({rgb(), rgb()});
  const ColorJitterOptions all{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1};
  Generator a(3), b(3);
  const Tensor y = color_jitter(images, all, a);
  CHECK(y.shape() == images.shape());
  CHECK(y.to_vector<double>() == color_jitter(images, all, b).to_vector<double>());
  CHECK(y[0].to_vector<double>() != y[1].to_vector<double>());
  for (const double v : y.to_vector<double>()) CHECK((v >= 0 && v <= 1));
  check_close(color_jitter(rgb(), {}, a), rgb().to_vector<double>());
  for (int i = 0; i < 20; ++i) {
    const double factor =
        color_jitter(full({1, 1, 3}, 0.5), {.brightness = 0.2}, a).to_vector<double>()[0] / 0.5;
    CHECK((factor >= 0.8 && factor <= 1.2));
  }
  CHECK(color_jitter(zeros({0, 2, 2, 3}), all, a).numel() == 0);
}

TEST_CASE("color: noise has the deviation that it should") {
  Generator generator(4);
  const auto y = gaussian_noise(full({100, 100, 1}, 0.5), 0.1, generator).to_vector<double>();
  double sum = 0, squares = 0;
  for (const double v : y) sum += v - 0.5, squares += (v - 0.5) * (v - 0.5);
  CHECK(std::abs(sum / 1e4) < 0.004);
  CHECK(std::sqrt(squares / 1e4) == Approx(0.1).epsilon(0.03));
}

TEST_CASE("color: what is refused") {
  Generator generator(1);
  const Tensor four = zeros({2, 2, 4});
  CHECK_THROWS_WITH(adjust_brightness(four, -1), "adjust_brightness: expects a finite factor >= 0, got -1");
  CHECK_THROWS_WITH(adjust_contrast(four, 1), Catch::Contains("expects 1 or 3 channels"));
  CHECK_THROWS_WITH(adjust_saturation(four, 1), "adjust_saturation: expects 3 channels, got [2, 2, 4]");
  CHECK_THROWS_WITH(adjust_hue(rgb(), 0.6), Catch::Contains("from -0.5 to 0.5, got 0.6"));
  CHECK_THROWS_WITH(adjust_gamma(four, -1), Catch::Contains("gamma >= 0"));
  CHECK_THROWS_WITH(color_jitter(rgb(), {.hue = 0.7}, generator), Catch::Contains("at most 0.5"));
  CHECK_THROWS_WITH(gaussian_blur(four, 0), Catch::Contains("sigma > 0"));
  CHECK_THROWS_WITH(gaussian_blur(four, 1, 4), Catch::Contains("odd kernel_size"));
  CHECK_THROWS_WITH(gaussian_noise(four, -1, generator), Catch::Contains("std >= 0"));
  CHECK_THROWS_WITH(adjust_brightness(zeros({2, 2, 1}, {.dtype = u8}), 1),
                    Catch::Contains("adjust_brightness"));
}
