#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pool.h>

#include "bf16_check.h"

using namespace karyon;
using namespace karyon::test;

namespace {

double pixel(const Tensor& x, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  return x.data<double>()[((n * x.size(1) + h) * x.size(2) + w) * x.size(3) + c];
}

// Values far enough apart that a finite difference never changes which is largest.
Tensor distinct(const Shape& shape) {
  Generator generator(3);
  Tensor x = randperm(shape.numel(), generator).to(f32).reshape(shape);
  x.mul_(0.01);
  return x;
}

// Every window as a list of the values it covers.
template <class Options, class F>
Tensor pooled(const Tensor& x, const Options& o, F reduce) {
  const Pair k = o.kernel_size, s = o.stride.value_or(k), p = o.padding;
  Pair d = 1;
  if constexpr (requires { o.dilation; }) d = o.dilation;
  const std::int64_t oh = (x.size(1) + 2 * p.h - d.h * (k.h - 1) - 1) / s.h + 1,
                     ow = (x.size(2) + 2 * p.w - d.w * (k.w - 1) - 1) / s.w + 1;
  std::vector<double> out;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t y = 0; y < oh; ++y)
      for (std::int64_t z = 0; z < ow; ++z)
        for (std::int64_t c = 0; c < x.size(3); ++c) {
          std::vector<double> values;
          for (std::int64_t i = 0; i < k.h; ++i)
            for (std::int64_t j = 0; j < k.w; ++j) {
              const std::int64_t h = y * s.h - p.h + i * d.h, w = z * s.w - p.w + j * d.w;
              if (h >= 0 && h < x.size(1) && w >= 0 && w < x.size(2)) values.push_back(pixel(x, n, h, w, c));
            }
          out.push_back(reduce(values));
        }
  return tensor(out, {x.size(0), oh, ow, x.size(3)}, {.dtype = f64});
}

double largest(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double total(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return sum;
}

const std::vector<Shape> shapes = {{2, 6, 8, 3}, {1, 7, 5, 1}, {1, 5, 9, 17}, {2, 4, 4, 33}};

}  // namespace

TEST_CASE("max_pool2d") {
  const std::vector<MaxPool2dOptions> options = {
      {},
      {.kernel_size = 3, .stride = 2, .padding = 1},
      {.kernel_size = {3, 2}, .stride = 1},
      {.kernel_size = 2, .stride = Pair(1, 3), .padding = {1, 0}},
      {.kernel_size = {2, 3}, .stride = Pair(1, 2), .padding = 1, .dilation = {3, 2}},
      {.kernel_size = 1, .stride = 2},
      {.kernel_size = 2, .stride = 4}};
  for (const Shape& shape : shapes)
    for (const MaxPool2dOptions& o : options)
      check_op(
          "max_pool2d", [&](const std::vector<Tensor>& x) { return max_pool2d(x[0], o); },
          [&](const std::vector<Tensor>& x) { return pooled(x[0], o, largest); }, {distinct(shape)});
  check_op(
      "max_pool2d, one pixel",
      [](const std::vector<Tensor>& x) { return max_pool2d(x[0], {.kernel_size = 3, .padding = 1}); },
      [](const std::vector<Tensor>& x) { return x[0].clone(); }, {distinct({2, 1, 1, 2})});
  const MaxPool2dOptions wide{.kernel_size = 17, .stride = 1};  // more positions than a byte counts
  check_op(
      "max_pool2d, wide", [&](const std::vector<Tensor>& x) { return max_pool2d(x[0], wide); },
      [&](const std::vector<Tensor>& x) { return pooled(x[0], wide, largest); }, {distinct({1, 18, 18, 1})});
}

TEST_CASE("max_pool2d gives the gradient to the first of equal values, NaN wins, padding never does") {
  for (const MaxPool2dOptions& o : {MaxPool2dOptions{}, MaxPool2dOptions{.kernel_size = 2, .stride = 3}}) {
    Tensor x = tensor({1, 2, 2, 2}, {1, 2, 2, 1}).requires_grad_();
    const Tensor y = max_pool2d(x, o);
    CHECK(y.item() == 2);
    y.backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 1, 0, 0});
    for (int where = 0; where < 4; ++where) {
      std::vector<double> values = {1, 2, 3, 4};
      values[static_cast<std::size_t>(where)] = NAN;
      CHECK(std::isnan(max_pool2d(tensor(values, {1, 2, 2, 1}), o).item()));
    }
  }
  const double low = -std::numeric_limits<double>::infinity();
  Tensor x = tensor({low, low}, {1, 1, 2, 1}).requires_grad_();
  const Tensor y = max_pool2d(x, {.kernel_size = 3, .padding = 1});
  CHECK(y.item<double>() == low);
  y.backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 0});
  // A dilated window around an image it never touches.
  Tensor z = zeros({1, 2, 2, 1}).requires_grad_();
  const Tensor none = max_pool2d(z, {.kernel_size = 2, .padding = 1, .dilation = 3});
  CHECK(none.item<double>() == low);
  none.backward();
  CHECK(z.grad().to_vector<float>() == std::vector<float>{0, 0, 0, 0});
}

TEST_CASE("avg_pool2d") {
  const std::vector<AvgPool2dOptions> options = {{},
                                                 {.kernel_size = 3, .stride = 2, .padding = 1},
                                                 {.kernel_size = {3, 2}, .stride = 1, .padding = {1, 0}},
                                                 {.kernel_size = 2, .stride = 3}};
  for (const Shape& shape : shapes)
    for (AvgPool2dOptions o : options)
      for (bool include : {true, false}) {
        o.count_include_pad = include;
        const auto area = static_cast<double>(o.kernel_size.h * o.kernel_size.w);
        check_op(
            "avg_pool2d", [&](const std::vector<Tensor>& x) { return avg_pool2d(x[0], o); },
            [&](const std::vector<Tensor>& x) {
              return pooled(x[0], o, [&](const std::vector<double>& v) {
                return total(v) / (include ? area : static_cast<double>(v.size()));
              });
            },
            {distinct(shape)});
      }
}

TEST_CASE("adaptive_avg_pool2d") {
  for (const Shape& shape : shapes)
    for (Pair size : {Pair(1), Pair(3, 2), Pair(4, 4), Pair(7, 11)}) {
      check_op(
          "adaptive_avg_pool2d",
          [&](const std::vector<Tensor>& x) { return adaptive_avg_pool2d(x[0], size); },
          [&](const std::vector<Tensor>& x) {
            std::vector<double> out;
            auto begin = [](std::int64_t o, std::int64_t in, std::int64_t n) {
              return static_cast<std::int64_t>(
                  std::floor(static_cast<double>(o * in) / static_cast<double>(n)));
            };
            auto end = [](std::int64_t o, std::int64_t in, std::int64_t n) {
              return static_cast<std::int64_t>(
                  std::ceil(static_cast<double>((o + 1) * in) / static_cast<double>(n)));
            };
            for (std::int64_t n = 0; n < shape[0]; ++n)
              for (std::int64_t y = 0; y < size.h; ++y)
                for (std::int64_t z = 0; z < size.w; ++z)
                  for (std::int64_t c = 0; c < shape[3]; ++c) {
                    double sum = 0, count = 0;
                    for (std::int64_t h = begin(y, shape[1], size.h); h < end(y, shape[1], size.h); ++h)
                      for (std::int64_t w = begin(z, shape[2], size.w); w < end(z, shape[2], size.w); ++w) {
                        sum += pixel(x[0], n, h, w, c);
                        count += 1;
                      }
                    out.push_back(sum / count);
                  }
            return tensor(out, {shape[0], size.h, size.w, shape[3]}, {.dtype = f64});
          },
          {distinct(shape)});
    }
  // torch.nn.functional.adaptive_avg_pool2d(torch.arange(35.).reshape(1, 1, 5, 7), (2, 3)).flatten()
  const Tensor x = arange(35).to(f32).reshape({1, 5, 7, 1});
  CHECK(adaptive_avg_pool2d(x, {2, 3}).to_vector<float>() == std::vector<float>{8, 10, 12, 22, 24, 26});
}

TEST_CASE("pooling gives the same bits with any number of threads") {
  Generator generator(1);
  const Tensor x = randn({3, 65, 67, 19}, generator);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (int which = 0; which < 4; ++which) {
      Tensor leaf = x.clone().requires_grad_();
      const Tensor y = which == 0   ? max_pool2d(leaf)
                       : which == 1 ? max_pool2d(leaf, {.kernel_size = 3, .stride = 2, .padding = 1})
                       : which == 2 ? avg_pool2d(leaf, {.kernel_size = 3, .stride = 1, .padding = 1})
                                    : adaptive_avg_pool2d(leaf, 7);
      Generator weights(2);
      y.backward(randn(y.shape(), weights));
      out.push_back(y);
      out.push_back(leaf.grad());
    }
    return out;
  }));
}

TEST_CASE("pooling errors say what was expected and what came") {
  using Catch::Contains;
  const Tensor x = zeros({1, 4, 4, 2});
  CHECK_THROWS_WITH(max_pool2d(zeros({4, 4, 2})),
                    Contains("max_pool2d: expects images [N, H, W, C], got [4, 4, 2]"));
  CHECK_THROWS_WITH(max_pool2d(x.to(i64)), Contains("f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(max_pool2d(x, {.kernel_size = 5}),
                    Contains("(5, 5)") && Contains("does not fit in [1, 4, 4, 2]"));
  CHECK_THROWS_WITH(max_pool2d(x, {.padding = 2}), Contains("half the kernel (2, 2), got (2, 2)"));
  CHECK_THROWS_WITH(max_pool2d(x, {.stride = 0}), Contains("at least 1"));
  CHECK_THROWS_WITH(avg_pool2d(zeros({1, 0, 4, 2})), Contains("does not fit"));
  CHECK_THROWS_WITH(adaptive_avg_pool2d(x, {0, 1}), Contains("(0, 1)"));
  CHECK(max_pool2d(zeros({0, 4, 4, 2})).shape() == Shape{0, 2, 2, 2});
  CHECK(adaptive_avg_pool2d(zeros({2, 4, 4, 0}), 2).shape() == Shape{2, 2, 2, 0});
}

TEST_CASE("bf16 pools", "[cpu]") {
  const std::int64_t c = GENERATE(1, 5, 32, 48);
  const std::vector<Bf16Input> x{{{2, 9, 11, c}}};
  // The values move without arithmetic.
  for (const MaxPool2dOptions& options :
       {MaxPool2dOptions{.kernel_size = 2}, MaxPool2dOptions{.kernel_size = 3, .stride = 3}}) {
    const Bf16Results results = run_in_bf16([&](const auto& in) { return max_pool2d(in[0], options); }, x);
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

TEST_CASE("bf16 max_pool2d: the first of equal ones and NaN win", "[cpu]") {
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

TEST_CASE("adaptive_avg_pool2d: no image to any size is no image, at once") {
  const std::int64_t far = std::int64_t{1} << 40;
  const Tensor x = zeros({0, 2, 2, 3}).requires_grad_();
  const Tensor y = adaptive_avg_pool2d(x, {far, 1});
  CHECK(y.shape() == Shape{0, far, 1, 3});
  y.backward(zeros_like(y));
  CHECK(x.grad().shape() == x.shape());
}
