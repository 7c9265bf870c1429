#include <catch2/catch.hpp>

#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/resize.h>

#include "bf16_check.h"

using namespace karyon;
using namespace karyon::test;

namespace {

double pixel(const Tensor& x, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  return x.data<double>()[((n * x.size(1) + h) * x.size(2) + w) * x.size(3) + c];
}

// Where output o looks in the input.
double source(std::int64_t o, std::int64_t in, std::int64_t out, bool align_corners) {
  const auto i = static_cast<double>(in), n = static_cast<double>(out), at = static_cast<double>(o);
  if (align_corners) return out == 1 ? 0 : at * (i - 1) / (n - 1);
  return (at + 0.5) * i / n - 0.5;
}

// A hat function around the (clamped) source position weighs every input.
double hat(std::int64_t i, double at, std::int64_t in) {
  at = std::clamp(at, 0.0, static_cast<double>(in - 1));
  return std::max(0.0, 1 - std::abs(static_cast<double>(i) - at));
}

Tensor bilinear_reference(const Tensor& x, Pair size, bool align_corners) {
  std::vector<double> out;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t y = 0; y < size.h; ++y)
      for (std::int64_t z = 0; z < size.w; ++z)
        for (std::int64_t c = 0; c < x.size(3); ++c) {
          double sum = 0;
          for (std::int64_t h = 0; h < x.size(1); ++h)
            for (std::int64_t w = 0; w < x.size(2); ++w)
              sum += hat(h, source(y, x.size(1), size.h, align_corners), x.size(1)) *
                     hat(w, source(z, x.size(2), size.w, align_corners), x.size(2)) * pixel(x, n, h, w, c);
          out.push_back(sum);
        }
  return tensor(out, {x.size(0), size.h, size.w, x.size(3)}, {.dtype = f64});
}

Tensor nearest_reference(const Tensor& x, Pair size) {
  std::vector<double> out;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t y = 0; y < size.h; ++y)
      for (std::int64_t z = 0; z < size.w; ++z)
        for (std::int64_t c = 0; c < x.size(3); ++c)
          out.push_back(pixel(x, n, y * x.size(1) / size.h, z * x.size(2) / size.w, c));
  return tensor(out, {x.size(0), size.h, size.w, x.size(3)}, {.dtype = f64});
}

const std::vector<Shape> shapes = {{2, 3, 4, 3}, {1, 1, 1, 2}, {1, 5, 1, 1}, {1, 7, 6, 9}};
const std::vector<Pair> sizes = {{6, 8}, {1, 1}, {3, 5}, {2, 13}};

}  // namespace

TEST_CASE("interpolate, bilinear") {
  for (const Shape& shape : shapes)
    for (Pair size : sizes)
      for (bool align_corners : {false, true}) {
        Generator generator(1);
        INFO(size << " align " << align_corners);
        check_op(
            "interpolate",
            [&](const std::vector<Tensor>& x) {
              return interpolate(x[0], size,
                                 {.mode = InterpolateMode::bilinear, .align_corners = align_corners});
            },
            [&](const std::vector<Tensor>& x) { return bilinear_reference(x[0], size, align_corners); },
            {randn(shape, generator)});
      }
}

TEST_CASE("interpolate, nearest") {
  for (const Shape& shape : shapes)
    for (Pair size : sizes) {
      Generator generator(2);
      check_op(
          "interpolate", [&](const std::vector<Tensor>& x) { return interpolate(x[0], size); },
          [&](const std::vector<Tensor>& x) { return nearest_reference(x[0], size); },
          {randn(shape, generator)});
    }
}

TEST_CASE("interpolate agrees with PyTorch") {
  // x = torch.arange(6.).reshape(1, 1, 2, 3).square()
  // torch.nn.functional.interpolate(x, size=(3, 4), mode=..., align_corners=...)
  const Tensor x = tensor({0, 1, 4, 9, 16, 25}, {1, 2, 3, 1});
  auto values = [&](InterpolateMode mode, bool align_corners) {
    return interpolate(x, {3, 4}, {mode, align_corners}).reshape({12});
  };
  CHECK(difference(values(InterpolateMode::bilinear, false),
                   tensor({0, 0.625, 2.125, 4, 4.5, 7, 10.75, 14.5, 9, 13.374999, 19.374998, 25})) < 1e-6);
  CHECK(difference(values(InterpolateMode::bilinear, true),
                   tensor({0, 0.66666669, 2, 4, 4.5, 7.166667, 10.5, 14.5, 9, 13.666667, 19, 25})) < 1e-6);
  CHECK(difference(values(InterpolateMode::nearest, false), tensor({0, 0, 1, 4, 0, 0, 1, 4, 9, 9, 16, 25})) ==
        0);
  // PyTorch multiplies floats: torch.nn.functional.interpolate(torch.arange(2.)[None, None],
  // size=82)[..., 41] is not floor(41 * 2 / 82).
  const Tensor row = arange(2).to(f32).reshape({1, 1, 2, 1});
  CHECK(interpolate(row, {1, 82}).to_vector<float>()[41] == 0);
}

TEST_CASE("interpolate of sequences and volumes") {
  Generator generator(5);
  for (const bool align : {false, true}) {
    const InterpolateOptions line{.mode = InterpolateMode::linear, .align_corners = align};
    check_op(
        "linear", [&](const auto& x) { return interpolate(x[0], 7, line); },
        [&](const auto& x) {
          return bilinear_reference(x[0].reshape({2, 1, 4, 3}), {1, 7}, align).reshape({2, 7, 3});
        },
        {randn({2, 4, 3}, generator)});
    const InterpolateOptions volume{.mode = InterpolateMode::trilinear, .align_corners = align};
    check_op(
        "trilinear",
        [&](const auto& x) {
          return interpolate(x[0], {5, 2, 6}, volume);
        },
        [&](const auto& x) {
          const Tensor frames = bilinear_reference(x[0].reshape({6, 4, 3, 2}), {2, 6}, align);
          return bilinear_reference(frames.reshape({2, 3, 1, 24}), {5, 1}, align).reshape({2, 5, 2, 6, 2});
        },
        {randn({2, 3, 4, 3, 2}, generator)});
  }
  check_op(
      "nearest in 3-D",
      [&](const auto& x) {
        return interpolate(x[0], {5, 2, 6});
      },
      [&](const auto& x) {
        const Tensor frames = nearest_reference(x[0].reshape({6, 4, 3, 2}), {2, 6});
        return nearest_reference(frames.reshape({2, 3, 1, 24}), {5, 1}).reshape({2, 5, 2, 6, 2});
      },
      {randn({2, 3, 4, 3, 2}, generator)});
  const Tensor x = randn({2, 4, 6, 3}, generator);
  CHECK(difference(interpolate(x, {2, 3}, {.mode = InterpolateMode::area}), adaptive_avg_pool2d(x, {2, 3})) ==
        0);
  CHECK(interpolate(arange(4).to(f32).reshape({1, 4, 1}), 3, {.mode = InterpolateMode::nearest_exact})
            .to_vector<float>() == std::vector<float>{0, 2, 3});
}

namespace {

// Keys's cubic kernel; images continue beyond their edges.
double cubic_weight(double x, double a) {
  x = std::abs(x);
  if (x < 1) return (a + 2) * x * x * x - (a + 3) * x * x + 1;
  return x < 2 ? a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a : 0;
}

// Sums over places i of kernel((i - at) / width), normalized if wide.
Tensor filtered(const Tensor& x, Pair size, bool align, double support, bool antialias,
                const std::function<double(double)>& kernel) {
  const auto terms = [&](std::int64_t o, std::int64_t in, std::int64_t out) {
    const double at = source(o, in, out, align), scale = static_cast<double>(in) / static_cast<double>(out);
    const double width = antialias ? std::max(1.0, scale) : 1.0;
    std::vector<double> weights(static_cast<std::size_t>(in));
    double sum = 0;
    for (auto i = static_cast<std::int64_t>(std::floor(at - support * width)); i <= at + support * width;
         ++i) {
      if (antialias && (i < 0 || i >= in)) continue;
      const double w = kernel((static_cast<double>(i) - at) / width);
      weights[static_cast<std::size_t>(std::clamp<std::int64_t>(i, 0, in - 1))] += w;
      sum += w;
    }
    for (double& w : weights) w /= sum;
    return weights;
  };
  std::vector<double> y;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t r = 0; r < size.h; ++r)
      for (std::int64_t q = 0; q < size.w; ++q)
        for (std::int64_t c = 0; c < x.size(3); ++c) {
          const auto rows = terms(r, x.size(1), size.h), cols = terms(q, x.size(2), size.w);
          double sum = 0;
          for (std::size_t h = 0; h < rows.size(); ++h)
            for (std::size_t w = 0; w < cols.size(); ++w)
              sum += rows[h] * cols[w] *
                     pixel(x, n, static_cast<std::int64_t>(h), static_cast<std::int64_t>(w), c);
          y.push_back(sum);
        }
  return tensor(y, {x.size(0), size.h, size.w, x.size(3)}, {.dtype = f64});
}

}  // namespace

TEST_CASE("interpolate, bicubic and with antialias") {
  Generator generator(6);
  for (const Shape& shape : shapes)
    for (const Pair size : sizes) {
      for (const bool align : {false, true})
        check_op(
            "bicubic",
            [&](const auto& x) {
              return interpolate(x[0], size, {.mode = InterpolateMode::bicubic, .align_corners = align});
            },
            [&](const auto& x) {
              return filtered(x[0], size, align, 2, false, [](double d) { return cubic_weight(d, -0.75); });
            },
            {randn(shape, generator)});
      check_op(
          "bilinear, antialias",
          [&](const auto& x) {
            return interpolate(x[0], size, {.mode = InterpolateMode::bilinear, .antialias = true});
          },
          [&](const auto& x) {
            return filtered(x[0], size, false, 1, true,
                            [](double d) { return std::max(0.0, 1 - std::abs(d)); });
          },
          {randn(shape, generator)});
      check_op(
          "bicubic, antialias",
          [&](const auto& x) {
            return interpolate(x[0], size, {.mode = InterpolateMode::bicubic, .antialias = true});
          },
          [&](const auto& x) {
            return filtered(x[0], size, false, 2, true, [](double d) { return cubic_weight(d, -0.5); });
          },
          {randn(shape, generator)});
    }
  const std::int64_t far = std::int64_t{1} << 40;
  CHECK(interpolate(zeros({0, 2, 2, 3}), {far, 1}, {.mode = InterpolateMode::bicubic}).shape() ==
        Shape{0, far, 1, 3});
}

TEST_CASE("interpolate gives the same bits with any number of threads") {
  Generator generator(3);
  const Tensor x = randn({2, 61, 53, 11}, generator);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (InterpolateMode mode :
         {InterpolateMode::nearest, InterpolateMode::bilinear, InterpolateMode::bicubic})
      for (Pair size : {Pair(122, 106), Pair(31, 40)}) {
        Tensor leaf = x.clone().requires_grad_();
        const Tensor y = interpolate(leaf, size, {mode});
        Generator weights(4);
        y.backward(randn(y.shape(), weights));
        out.push_back(y);
        out.push_back(leaf.grad());
      }
    return out;
  }));
}

TEST_CASE("interpolate's errors and empty batches") {
  using Catch::Contains;
  const Tensor x = zeros({1, 4, 4, 2});
  CHECK_THROWS_WITH(interpolate(x, {0, 3}), Contains("interpolate: expects") && Contains("[0, 3]"));
  CHECK_THROWS_WITH(interpolate(zeros({1, 0, 4, 2}), 2), Contains("[1, 0, 4, 2]"));
  CHECK_THROWS_WITH(interpolate(zeros({4, 2}), 2), Contains("3 to 5 dimensions, got [4, 2]"));
  CHECK_THROWS_WITH(interpolate(x, {2, 2, 2}), Contains("expects 2 sizes"));
  CHECK_THROWS_WITH(interpolate(x, 2, {.mode = InterpolateMode::linear}),
                    Contains("linear expects 3 dimensions"));
  CHECK_THROWS_WITH(interpolate(x, 2, {.mode = InterpolateMode::trilinear}),
                    Contains("trilinear expects 5 dimensions"));
  CHECK_THROWS_WITH(interpolate(x, 2, {.mode = InterpolateMode::area, .align_corners = true}),
                    Contains("got area"));
  CHECK_THROWS_WITH(interpolate(x, 2, {.antialias = true}),
                    Contains("antialias expects bilinear or bicubic"));
  CHECK_THROWS_WITH(interpolate(x.to(i64), 2), Contains("f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(interpolate(x, 2, {.align_corners = true}), Contains("bilinear"));
  CHECK(interpolate(zeros({0, 4, 4, 2}), 3).shape() == Shape{0, 3, 3, 2});
}

TEST_CASE("bf16 interpolate", "[cpu]") {
  check_bf16("interpolate",
             [](const auto& in) {
               return interpolate(in[0], {9, 13}, {.mode = InterpolateMode::bilinear});
             },
             {{{2, 5, 7, 6}}});
}

TEST_CASE("interpolate: no image to any size is no image, at once") {
  const std::int64_t far = std::int64_t{1} << 40;
  const Tensor x = zeros({0, 2, 2, 3}).requires_grad_();
  const Tensor y = interpolate(x, {far, 1});
  CHECK(y.shape() == Shape{0, far, 1, 3});
  y.backward(zeros_like(y));
  CHECK(x.grad().shape() == x.shape());
}
