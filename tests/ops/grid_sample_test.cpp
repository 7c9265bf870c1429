#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/grid_sample.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

// Where a coordinate looks, in pixels: mirrored step by step, then held at the edge.
double place(double g, std::int64_t size, const GridSampleOptions& o) {
  const auto n = static_cast<double>(size);
  double at = o.align_corners ? (g + 1) / 2 * (n - 1) : ((g + 1) * n - 1) / 2;
  if (o.padding == GridPadding::zeros) return at;
  if (o.padding == GridPadding::reflection) {
    const double low = o.align_corners ? 0 : -0.5, high = o.align_corners ? n - 1 : n - 0.5;
    while (low < high && (at < low || at > high)) at = at < low ? 2 * low - at : 2 * high - at;
  }
  return std::min(std::max(at, 0.0), n - 1);
}

// The weight of pixel i for a place.
double weight(double at, std::int64_t i, GridSampleMode mode) {
  if (mode == GridSampleMode::nearest) return std::nearbyint(at) == static_cast<double>(i) ? 1 : 0;
  return std::max(0.0, 1 - std::abs(at - static_cast<double>(i)));
}

// Every pixel of the image with its weight.
Tensor sampled(const Tensor& x, const Tensor& grid, const GridSampleOptions& o) {
  const int dims = x.dim() - 2;
  const Tensor v = dims == 3 ? x : x.reshape({x.size(0), 1, x.size(1), x.size(2), x.size(3)});
  Shape shape = grid.shape();
  shape[shape.dims() - 1] = x.size(-1);
  const std::int64_t c = x.size(-1), outputs = grid.numel() / dims / x.size(0);
  std::vector<double> y;
  for (std::int64_t i = 0; i < x.size(0) * outputs; ++i)
    for (std::int64_t k = 0; k < c; ++k) {
      const double* g = grid.data<double>() + i * dims;
      double sum = 0;
      for (std::int64_t d = 0; d < v.size(1); ++d)
        for (std::int64_t h = 0; h < v.size(2); ++h)
          for (std::int64_t w = 0; w < v.size(3); ++w) {
            const double deep = dims == 3 ? weight(place(g[2], v.size(1), o), d, o.mode) : 1;
            sum +=
                deep * weight(place(g[1], v.size(2), o), h, o.mode) *
                weight(place(g[0], v.size(3), o), w, o.mode) *
                v.data<double>()[(((i / outputs * v.size(1) + d) * v.size(2) + h) * v.size(3) + w) * c + k];
          }
      y.push_back(sum);
    }
  return tensor(y, shape, {.dtype = f64});
}

// Coordinates from -1.6 to 1.6 whose places have no kink near them: eighths of a pixel, and a bit.
Tensor places(const Shape& shape, const Shape& image, Generator& generator) {
  Tensor grid = rand(shape, generator).to(f64);
  const std::int64_t dims = shape[shape.dims() - 1];
  for (std::int64_t i = 0; i < grid.numel(); ++i) {
    const auto n = static_cast<double>(image[image.dims() - 2 - static_cast<int>(i % dims)]);
    double& g = grid.data<double>()[i];
    g = (std::round((g - 0.5) * 3.2 * n * 4) + 0.4) / (4 * n);
  }
  return grid.to(f32);
}

}  // namespace

TEST_CASE("grid_sample in every mode and padding") {
  Generator generator(1);
  const std::vector<std::pair<Shape, Shape>> cases = {
      {{2, 4, 5, 3}, {2, 3, 6, 2}}, {{1, 1, 3, 2}, {1, 2, 2, 2}}, {{1, 3, 4, 2, 2}, {1, 2, 3, 2, 3}}};
  for (const auto& [image, shape] : cases)
    for (const GridSampleMode mode : {GridSampleMode::bilinear, GridSampleMode::nearest})
      for (const GridPadding padding : {GridPadding::zeros, GridPadding::border, GridPadding::reflection})
        for (const bool align : {false, true}) {
          const GridSampleOptions o{mode, padding, align};
          INFO(image << " mode " << static_cast<int>(mode) << " padding " << static_cast<int>(padding)
                     << " align " << align);
          check_op(
              "grid_sample", [&](const auto& x) { return grid_sample(x[0], x[1], o); },
              [&](const auto& x) { return sampled(x[0], x[1], o); },
              {randn(image, generator), places(shape, image, generator)}, {.parameters_from = 1});
        }
}

TEST_CASE("grid_sample agrees with PyTorch") {
  // x = torch.arange(6.).reshape(1, 1, 2, 3)
  // g = torch.tensor([[[[-1., -1.], [0.3, 0.2], [1.5, 0.7]]]])
  // torch.nn.functional.grid_sample(x, g, mode=..., padding_mode=..., align_corners=...)
  const Tensor x = arange(6).to(f32).reshape({1, 2, 3, 1});
  const Tensor g = tensor({-1, -1, 0.3, 0.2, 1.5, 0.7}, {1, 1, 3, 2});
  const auto values = [&](const GridSampleOptions& o) { return grid_sample(x, g, o).reshape({3}); };
  CHECK(difference(values({}), tensor({0, 3.55, 0})) < 1e-5);
  CHECK(difference(values({.padding = GridPadding::border}), tensor({0, 3.55, 5})) < 1e-5);
  CHECK(difference(values({.align_corners = true}), tensor({0, 3.1, 2.275})) < 1e-5);
}

TEST_CASE("grid_sample far outside, at NaN and of nothing") {
  const Tensor x = ones({1, 2, 3, 1});
  const Tensor g = tensor({NAN, 0, INFINITY, 0, -1e30, 1e30}, {1, 1, 3, 2});
  CHECK(grid_sample(x, g).to_vector<float>() == std::vector<float>{0, 0, 0});
  CHECK(grid_sample(x, g, {.padding = GridPadding::border}).to_vector<float>() ==
        std::vector<float>{1, 1, 1});
  Tensor image = zeros({0, 4, 4, 2}).requires_grad_();
  const Tensor y = grid_sample(image, zeros({0, 3, 3, 2}));
  CHECK(y.shape() == Shape{0, 3, 3, 2});
  y.backward(zeros_like(y));
  CHECK(image.grad().shape() == image.shape());
}

TEST_CASE("grid_sample has the same bits with any number of threads") {
  Generator generator(2);
  const Tensor x = randn({3, 21, 22, 40}, generator).requires_grad_();
  const Tensor g = (rand({3, 50, 40, 2}, generator) * 2.4 - 1.2).detach().requires_grad_();
  CHECK(same_for_any_thread_count([&] {
    const Tensor y = grid_sample(x, g);
    x.impl()->grad = g.impl()->grad = Tensor();
    y.backward(ones_like(y));
    return std::vector{y, x.grad(), g.grad()};
  }));
}

TEST_CASE("affine_grid") {
  // torch.nn.functional.affine_grid(theta, (1, 1, 2, 3), align_corners=...)
  const Tensor theta = tensor({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  CHECK(difference(affine_grid(theta, {2, 3}).reshape({12}),
                   tensor({1.3333333, 0.8333333, 2, 3.5, 2.6666667, 6.1666667, 3.3333333, 5.8333333, 4, 8.5,
                           4.6666667, 11.1666667})) < 1e-6);
  CHECK(difference(affine_grid(theta, {2, 3}, {.align_corners = true}).reshape({12}),
                   tensor({0, -3, 1, 1, 2, 5, 4, 7, 5, 11, 6, 15})) < 1e-6);
  Generator generator(3);
  for (const Shape& size : {Shape{2, 3}, Shape{1, 1}, Shape{3, 1, 2}}) {
    const std::int64_t dims = size.dims();
    for (const bool align : {false, true})
      check_op(
          "affine_grid", [&](const auto& t) { return affine_grid(t[0], size, {.align_corners = align}); },
          [&](const auto& t) {
            Shape shape{2};
            for (const std::int64_t n : size) shape.push_back(n);
            shape.push_back(dims);
            std::vector<double> y;
            for (std::int64_t i = 0; i < shape.numel(); ++i) {
              const std::int64_t row = i % dims, pixel = i / dims % size.numel(), n = i / dims / size.numel();
              const double* m = t[0].template data<double>() + (n * dims + row) * (dims + 1);
              double sum = m[dims];
              std::int64_t rest = pixel;
              for (std::int64_t k = 0; k < dims; ++k) {
                const std::int64_t length = size[static_cast<int>(dims - 1 - k)];
                const auto at = static_cast<double>(rest % length), last = static_cast<double>(length - 1);
                const double centred = length == 1 ? 0 : 2 * at / last - 1;
                sum += m[k] * (align ? centred : centred * last / (last + 1));
                rest /= length;
              }
              y.push_back(sum);
            }
            return tensor(y, shape, {.dtype = f64});
          },
          {randn({2, dims, dims + 1}, generator)});
  }
  // The identity reads every pixel where it is.
  const Tensor x = randn({1, 4, 5, 2}, generator);
  const Tensor same = tensor({1, 0, 0, 0, 1, 0}, {1, 2, 3});
  CHECK(difference(grid_sample(x, affine_grid(same, {4, 5})), x) < 1e-6);
}

TEST_CASE("grid_sample and affine_grid: what is refused") {
  const Tensor x = ones({2, 4, 4, 3}), g = zeros({2, 3, 3, 2});
  CHECK_THROWS_WITH(grid_sample(ones({4, 4, 3}), g), Contains("grid_sample: expects x [N, H, W, C]"));
  CHECK_THROWS_WITH(grid_sample(x, zeros({1, 3, 3, 2})), Contains("expects a grid [2, H, W, 2]"));
  CHECK_THROWS_WITH(grid_sample(x, zeros({2, 3, 3, 3})), Contains("got [2, 3, 3, 3]"));
  CHECK_THROWS_WITH(grid_sample(x, g.to(f64)), Contains("x is f32 but grid is f64"));
  CHECK_THROWS_WITH(grid_sample(x.to(i64), g), Contains("f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(grid_sample(zeros({2, 0, 4, 3}), g), Contains("at least one pixel"));
  CHECK_THROWS_WITH(affine_grid(ones({1, 2, 3}), {3}), Contains("expects a size {H, W} or {D, H, W}"));
  CHECK_THROWS_WITH(affine_grid(ones({1, 3, 4}), {3, 3}), Contains("expects theta [N, 2, 3]"));
  CHECK_THROWS_WITH(affine_grid(ones({1, 2, 3}), {3, 0}), Contains("at least one pixel"));
}
