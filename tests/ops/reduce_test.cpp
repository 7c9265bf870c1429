#include "op_check.h"
#include "reduced.h"

#include <algorithm>
#include <map>

#include <karyon/core/backend.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

double total(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return sum;
}

}  // namespace

TEST_CASE("sum, mean and max over any dimensions") {
  for (const bool keepdim : {false, true})
    for (const auto& [shape, dims] : reduced_shapes) {
      INFO("keepdim " << keepdim);
      check_op(
          "sum", [&, d = dims](const auto& x) { return sum(x[0], d, keepdim); },
          [&, d = dims](const auto& x) { return reduced(x[0], d, keepdim, total); }, {normal(shape)});
      check_op(
          "mean", [&, d = dims](const auto& x) { return mean(x[0], d, keepdim); },
          [&, d = dims](const auto& x) {
            return reduced(x[0], d, keepdim,
                           [](const auto& v) { return total(v) / static_cast<double>(v.size()); });
          },
          {normal(shape)});
      check_op(
          "max", [&, d = dims](const auto& x) { return max(x[0], d, keepdim); },
          [&, d = dims](const auto& x) {
            return reduced(x[0], d, keepdim,
                           [](const auto& v) { return *std::max_element(v.begin(), v.end()); });
          },
          {normal(shape)});
    }
}

TEST_CASE("min, prod and logsumexp over any dimensions") {
  for (const bool keepdim : {false, true})
    for (const auto& [shape, dims] : reduced_shapes) {
      INFO("keepdim " << keepdim);
      check_op(
          "min", [&, d = dims](const auto& x) { return min(x[0], d, keepdim); },
          [&, d = dims](const auto& x) {
            return reduced(x[0], d, keepdim,
                           [](const auto& v) { return *std::min_element(v.begin(), v.end()); });
          },
          {normal(shape)});
      check_op(
          "prod", [&, d = dims](const auto& x) { return prod(x[0], d, keepdim); },
          [&, d = dims](const auto& x) {
            return reduced(x[0], d, keepdim, [](const auto& v) {
              double product = 1;
              for (const double e : v) product *= e;
              return product;
            });
          },
          {normal(shape)});
      check_op(
          "logsumexp", [&, d = dims](const auto& x) { return logsumexp(x[0], d, keepdim); },
          [&, d = dims](const auto& x) {
            return reduced(x[0], d, keepdim, [](const auto& v) {
              double sum = 0;
              for (const double e : v) sum += std::exp(e);
              return std::log(sum);
            });
          },
          {normal(shape)});
    }
}

TEST_CASE("a product has a gradient at 0, too") {
  auto gradient = [](Tensor x) {
    x = x.to(device()).requires_grad_();
    prod(x, {0}).backward(full({x.size(1)}, 2, {.device = device()}));
    return x.grad().to_vector<float>();
  };
  CHECK(gradient(tensor({2, 3, 5}, {3, 1})) == Floats{30, 20, 12});
  CHECK(gradient(tensor({2, 0, 5}, {3, 1})) == Floats{0, 20, 0});
  CHECK(gradient(tensor({0, 0, 5}, {3, 1})) == Floats{0, 0, 0});
  CHECK(gradient(tensor({2, 0, 3, 4, 5, 6}, {3, 2})) == Floats{30, 48, 20, 0, 12, 0});
  CHECK(gradient(tensor({2, 0, INFINITY}, {3, 1}))[2] == 0);
  CHECK(gradient(tensor({2, -INFINITY, 3}, {3, 1})) == Floats{-INFINITY, 12, -INFINITY});
  CHECK(gradient(tensor({1e-30, 1e-30, 1e30, 1e30}, {4, 1}))[0] == Approx(2e30));
}

TEST_CASE("logsumexp of extreme values") {
  auto value = [](const Tensor& x) { return logsumexp(x.to(device())).item(); };
  CHECK(value(tensor({1000, 1000})) == Approx(1000 + std::log(2)));
  CHECK(value(tensor({-1000, -1000})) == Approx(-1000 + std::log(2)));
  CHECK(value(tensor({-INFINITY, 1})) == 1);
  CHECK(value(tensor({INFINITY, 1})) == INFINITY);
  CHECK(value(tensor({-INFINITY, -INFINITY})) == -INFINITY);
  CHECK(std::isnan(value(tensor({NAN, 1}))));
  CHECK(logsumexp(zeros({0, 2}, {.device = device()}), {0}).to_vector<float>() ==
        Floats{-INFINITY, -INFINITY});
}

TEST_CASE("the largest and smallest along a dimension come with their indices") {
  for (const auto& [shape, dim] : std::vector<std::pair<Shape, int>>{
           {{1}, 0}, {{7}, -1}, {{3, 5}, 0}, {{3, 5}, 1}, {{2, 67, 3}, 1}, {{2, 3, 0}, 1}}) {
    const int d = dim;
    check_op(
        "max", [&](const auto& x) { return max(x[0], d).values; },
        [&](const auto& x) {
          return reduced(x[0], {d}, false,
                         [](const auto& v) { return *std::max_element(v.begin(), v.end()); });
        },
        {normal(shape)});
    const Tensor x = normal(shape);
    const auto [values, indices] = min(x, d, true);
    CHECK(indices.to_vector<double>() == argmin(x, d, true).to_vector<double>());
    CHECK(values.to_vector<double>() == min(x, {d}, true).to_vector<double>());
    CHECK(values.shape() == indices.shape());
  }
  Tensor x = tensor({1, 3, 3, 0}).to(device()).requires_grad_();
  max(x, 0).values.backward();
  CHECK(x.grad().to_vector<float>() == Floats{0, 1, 0, 0});
  CHECK(max(tensor({1, 3}, {.dtype = bf16}), 0).values.dtype() == bf16);
  CHECK(max(tensor({1, 3}, {.dtype = i64}), 0).values.item<std::int64_t>() == 3);
  CHECK(max(full({}, 3), 0).indices.item<std::int64_t>() == 0);
  CHECK_THROWS_WITH(min(zeros({0, 2}), 0), Catch::Contains("min: expects something to choose from"));
}

TEST_CASE("any, all and count_nonzero of every type") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const Tensor x = tensor({0, 1, 0, 0, 2, 3}, {3, 2}).to(dtype).to(device());
    CHECK(any(x).dtype() == (dtype == u8 ? u8 : boolean));
    CHECK(any(x, {1}).to_vector<bool>() == std::vector<bool>{true, false, true});
    CHECK(all(x, {1}).to_vector<bool>() == std::vector<bool>{false, false, true});
    CHECK(any(x).item<bool>());
    CHECK(!all(x, {0}, true).to_vector<bool>()[0]);
    CHECK(all(x, {0}, true).shape() == Shape{1, 2});
    CHECK(count_nonzero(x).item<std::int64_t>() == 3);
    CHECK(count_nonzero(x, {0}).to_vector<std::int64_t>() == Ints{1, 2});
    CHECK(!any(narrow(x, 0, 0, 0)).item<bool>());
    CHECK(all(narrow(x, 0, 0, 0), {0}).to_vector<bool>() == std::vector<bool>{true, true});
  }
  CHECK(any(tensor({NAN})).item<bool>());
  CHECK(!any(tensor({0, -0.0})).item<bool>());
}

TEST_CASE("products and extremes of whole numbers are exact") {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double
  const Tensor x = tensor(Ints{large, 3, -1, large - 1}, {2, 2});
  CHECK(min(x, {0}).to_vector<std::int64_t>() == Ints{-1, 3});
  CHECK(prod(x, {1}).to_vector<std::int64_t>() == Ints{large * 3, 1 - large});
  CHECK(prod(full({5}, 3, {.dtype = u8})).item<std::int64_t>() == 243);
  CHECK(prod(tensor({true, true, false})).dtype() == i64);
  CHECK(prod(zeros({0, 2}), {0}).to_vector<float>() == Floats{1, 1});
  CHECK(argmin(x, 1).to_vector<std::int64_t>() == Ints{1, 0});
}

TEST_CASE("softmax and log_softmax along any dimension") {
  for (const auto& [shape, dim] : std::vector<std::pair<Shape, int>>{{{1}, 0},
                                                                     {{7}, 0},
                                                                     {{3, 5}, 0},
                                                                     {{3, 5}, 1},
                                                                     {{2, 3, 5}, -2},
                                                                     {{2, 1, 3}, 1},
                                                                     {{2, 67}, 1},
                                                                     {{2, 3, 71}, 1},
                                                                     {{0, 3}, 1}})
    for (const bool log : {false, true})
      check_op(
          log ? "log_softmax" : "softmax",
          [log, d = dim](const auto& x) { return log ? log_softmax(x[0], d) : softmax(x[0], d); },
          [log, d = dim](const auto& x) {
            const Tensor all = reduced(x[0], {d}, true, [](const auto& v) {
              double sum = 0;
              for (double e : v) sum += std::exp(e);
              return sum;
            });
            const Tensor wide = add(all, zeros_like(x[0]));
            const auto in = x[0].template to_vector<double>(), sums = wide.template to_vector<double>();
            std::vector<double> out;
            for (std::size_t i = 0; i < in.size(); ++i)
              out.push_back(log ? in[i] - std::log(sums[i]) : std::exp(in[i]) / sums[i]);
            return tensor(out, x[0].shape(), {.dtype = f64});
          },
          {normal(shape)});
}

TEST_CASE("large reductions match the reference and do not depend on the number of threads") {
  // One long row, many rows, wide rows, several tiles, a dimension in the middle, two runs.
  const std::vector<std::pair<Shape, Dims>> large{
      {{300007}, {}},    {{4001, 67}, {1}},   {{4001, 67}, {0}},    {{90001, 3}, {0}},
      {{37, 5003}, {0}}, {{7, 301, 61}, {1}}, {{3, 50001, 2}, {1}}, {{31, 17, 401}, {0, 2}}};
  for (const auto& [shape, dims] : large) {
    INFO(shape);
    const Tensor x = normal(shape);
    const Tensor expected = reduced(x, dims, false, total);
    CHECK(test::difference(sum(x.to(f64), dims), expected) <= 1e-12);
    CHECK(test::difference(sum(x, dims), expected) <= 1e-6);
    CHECK(test::difference(max(x, dims), reduced(x, dims, false, [](const auto& v) {
                             return *std::max_element(v.begin(), v.end());
                           })) == 0);
    for (const auto f : {sum, mean, max}) {
      CHECK(same_for_any_thread_count([&, d = dims] { return f(x, d, false); }));
      CHECK(same_for_any_thread_count([&, d = dims] {
        Tensor leaf = x.detach().requires_grad_();
        f(leaf, d, false).backward(f(x, d, false));
        return leaf.grad();
      }));
    }
    for (const auto f : {softmax, log_softmax}) {
      const int dim = dims.empty() ? 0 : dims[0];
      CHECK(same_for_any_thread_count([&] { return f(x, dim); }));
      CHECK(same_for_any_thread_count([&] {
        Tensor leaf = x.detach().requires_grad_();
        f(leaf, dim).backward(x);
        return leaf.grad();
      }));
    }
  }
}

TEST_CASE("the error of an f32 sum does not grow with the count") {
  const std::int64_t n = std::int64_t{1} << 21;
  CHECK(sum(full({n}, 0.1)).item<double>() ==
        Approx(static_cast<double>(0.1f) * static_cast<double>(n)).epsilon(1e-7));
  CHECK(sum(full({n / 8, 8}, 0.1), {0}).to_vector<double>()[5] ==
        Approx(static_cast<double>(0.1f) * static_cast<double>(n / 8)).epsilon(1e-7));
  CHECK(mean(full({4}, 3e38)).item() == 3e38f);  // the sum alone would overflow
}

TEST_CASE("reductions of nothing") {
  CHECK(sum(zeros({0})).item() == 0);
  CHECK(sum(zeros({0, 3}), {0}).to_vector<float>() == Floats{0, 0, 0});
  CHECK(sum(zeros({2, 0, 3, 0}), {1, 3}).to_vector<float>() == Floats(6, 0));
  CHECK(sum(zeros({0, 3}), {1}).shape() == Shape{0});
  CHECK(std::isnan(mean(zeros({0})).item()));
  Tensor x = zeros({0, 3}).requires_grad_();
  sum(x).backward();
  CHECK(x.grad().shape() == Shape{0, 3});
  CHECK_THROWS_WITH(max(zeros({2, 0}), {1}),
                    Catch::Contains("max: expects something to choose from, got [2, 0]"));
  CHECK(max(zeros({0, 2}), {1}).shape() == Shape{0});
  CHECK_THROWS_WITH(argmax(zeros({0, 2}), 0), Catch::Contains("argmax: expects something to choose from"));
  CHECK(argmax(zeros({0, 2}), 1).shape() == Shape{0});
  CHECK(softmax(zeros({2, 0}), 1).shape() == Shape{2, 0});
}

TEST_CASE("elements that tie for max share the gradient, across separate dimensions too") {
  auto gradient = [](Tensor x, const Dims& dims) {
    x.requires_grad_();
    const Tensor y = max(x, dims);
    y.backward(full(y.shape(), 6));
    return x.grad().to_vector<float>();
  };
  CHECK(gradient(tensor({1, 3, 3, 0, 3}), {}) == Floats{0, 2, 2, 0, 2});
  CHECK(gradient(tensor({5, 5, 1, 1, 0, 0, 5, 2}, {2, 2, 2}), {0, 2}) == Floats{3, 3, 0, 0, 0, 0, 6, 0});
  CHECK(gradient(tensor({5, 5, 1, 1, 5, 0, 1, 1}, {2, 2, 2}), {0, 2}) ==
        Floats{2, 2, 1.5, 1.5, 2, 0, 1.5, 1.5});
}

TEST_CASE("NaN wins max and argmax, the first of equals is argmax") {
  for (const Shape& shape : {Shape{4, 1}, Shape{1, 4}}) {
    const int dim = shape[0] == 4 ? 0 : 1;
    CHECK(std::isnan(max(tensor({1, NAN, INFINITY, 0}, shape), {dim}).item()));
    CHECK(argmax(tensor({1, NAN, INFINITY, NAN}, shape), dim).item<std::int64_t>() == 1);
    CHECK(argmax(tensor({1, 3, 3, 0}, shape), dim).item<std::int64_t>() == 1);
    CHECK(argmax(tensor({-INFINITY, -INFINITY, -INFINITY, -INFINITY}, shape), dim).item<std::int64_t>() == 0);
    CHECK(std::isnan(min(tensor({1, NAN, -INFINITY, 0}, shape).to(device()), {dim}).item()));
    const Tensor nan = tensor({1, NAN, -INFINITY, NAN}, shape).to(device());
    CHECK(argmin(nan, dim).item<std::int64_t>() == 1);
    CHECK(argmin(tensor({1, 0, 0, 3}, shape).to(device()), dim).item<std::int64_t>() == 1);
    CHECK(argmin(full(shape, INFINITY, {.device = device()}), dim).item<std::int64_t>() == 0);
  }
  Tensor x = tensor({1, NAN}).requires_grad_();
  max(x).backward();
  CHECK(x.grad().to_vector<float>() == Floats{0, 1});
}

TEST_CASE("argmax along every dimension") {
  for (const DType dtype : {f32, f64})
    for (const auto& [shape, dim] : std::vector<std::pair<Shape, int>>{
             {{1}, 0}, {{3, 5}, 0}, {{3, 5}, 1}, {{2, 7, 603}, 1}, {{700, 3, 2}, 0}}) {
      const Tensor x = normal(shape, dtype);
      const Tensor y = argmax(x, dim), kept = argmax(x, dim, true);
      CHECK(y.dtype() == i64);
      CHECK(y.to_vector<double>() ==
            reduced(x, {dim}, false, [](const auto& v) {
              return static_cast<double>(std::max_element(v.begin(), v.end()) - v.begin());
            }).to_vector<double>());
      CHECK(kept.shape()[dim] == 1);
      CHECK(kept.dim() == x.dim());
    }
}

TEST_CASE("softmax of extreme values") {
  CHECK(softmax(tensor({1e4, 0, -1e4}), 0).to_vector<float>() == Floats{1, 0, 0});
  CHECK(log_softmax(tensor({1e4, 0}), 0).to_vector<float>() == Floats{0, -1e4});
  CHECK(softmax(tensor({-INFINITY, 1, 1}, {3, 1}), 0).to_vector<float>() == Floats{0, 0.5, 0.5});
  for (const float v : softmax(tensor({NAN, 1}), 0).to_vector<float>()) CHECK(std::isnan(v));
  const auto wide = softmax(zeros({100000}), 0).to_vector<float>();
  CHECK(wide[99999] == Approx(1e-5).epsilon(1e-6));
}

TEST_CASE("reduction misuse") {
  CHECK_THROWS_WITH(sum(zeros({2, 3}), {2}), Catch::Contains("sum: dimension 2 of a tensor with 2"));
  CHECK_THROWS_WITH(mean(zeros({2, 3}), {1, -1}), Catch::Contains("mean: dimension -1 is given twice"));
  CHECK_THROWS_WITH(mean(zeros({2}, {.dtype = i64})),
                    Catch::Contains("mean: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(sum(zeros(Shape{}), {1}), Catch::Contains("sum: dimension 1 of a tensor with"));
  CHECK_THROWS_WITH(max(zeros({0}, {.dtype = i64})), Catch::Contains("something to choose from"));
  CHECK_THROWS_WITH(softmax(zeros({2}), 1), Catch::Contains("softmax: dimension 1"));
  CHECK_THROWS_WITH(softmax(zeros({2}, {.dtype = i64}), 0),
                    Catch::Contains("softmax: expects f32, f64 or bf16"));
}

TEST_CASE("whole numbers and truth values are counted exactly") {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double
  Tensor x = zeros({3, 100, 7}, {.dtype = i64});
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<std::int64_t>()[i] = i % 11 - 5;
  for (const std::vector<int>& dims : {std::vector<int>{}, {0}, {1}, {2}, {0, 2}, {1, 2}}) {
    const Tensor by_axis = sum(x, dims), wide = sum(x.to(f64), dims);
    CHECK(by_axis.dtype() == i64);
    CHECK(by_axis.shape() == wide.shape());
    CHECK(by_axis.to_vector<double>() == wide.to_vector<double>());
    CHECK(max(x, dims).to_vector<double>() == max(x.to(f64), dims).to_vector<double>());
  }
  CHECK(argmax(x, 1).to_vector<double>() == argmax(x.to(f64), 1).to_vector<double>());
  x.data<std::int64_t>()[710] = large;
  std::int64_t total = 0;
  for (const std::int64_t v : x.to_vector<std::int64_t>()) total += v;
  CHECK(sum(x).item<std::int64_t>() == total);
  CHECK(max(x).item<std::int64_t>() == large);
  CHECK(argmax(x.reshape({2100}), 0).item<std::int64_t>() == 710);

  const Tensor equal = eq(tensor({1, 2, 3, 4}), tensor({1, 0, 3, 4}));
  CHECK(sum(equal).dtype() == i64);
  CHECK(sum(equal).item<std::int64_t>() == 3);
  CHECK(max(equal).dtype() == boolean);
  CHECK(argmax(ne(tensor({1, 2}), tensor({1, 0})), 0).item<std::int64_t>() == 1);
  CHECK(sum(full({1000}, 255, {.dtype = u8})).item<std::int64_t>() == 255000);
  CHECK(sum(zeros({0, 2}, {.dtype = i64}), {0}).to_vector<double>() == std::vector<double>{0, 0});
}

TEST_CASE("a scalar has one dimension to reduce") {
  const Tensor x = full({}, 3);
  for (const int dim : {0, -1}) {
    CHECK(sum(x, {dim}).item() == 3);
    CHECK(max(x, {dim}).item() == 3);
    CHECK(argmax(x, dim).item<std::int64_t>() == 0);
    CHECK(softmax(x, dim).item() == 1);
  }
}

TEST_CASE("bytes, truth values and bf16 are reduced where they lie") {
  const std::int64_t n = 1 << 20;
  const auto peak_of = [](auto f) {
    reset_peak_memory_stats();
    const std::size_t before = memory_stats().current;
    f();
    return memory_stats().peak - before;
  };
  for (const DType dtype : {u8, boolean, bf16}) {
    const Tensor x = ones({n / 4, 4}, {.dtype = dtype});
    INFO(dtype);
    CHECK(peak_of([&] { CHECK(sum(x).item<std::int64_t>() == n); }) < 4096);
    CHECK(peak_of([&] { CHECK(max(x).item<double>() == 1); }) < 4096);
    CHECK(peak_of([&] { CHECK(sum(x, {0}).to_vector<double>() == std::vector<double>(4, n / 4)); }) < 4096);
    CHECK(peak_of([&] { CHECK(argmax(x, 0).to_vector<double>() == std::vector<double>(4, 0)); }) < 4096);
  }
  const Tensor x = ones({n}, {.dtype = bf16});
  CHECK(peak_of([&] { CHECK(mean(x).item() == 1); }) < 4096);
}

TEST_CASE("reductions of small types are those of large ones") {
  for (const auto& [shape, dims] : std::vector<std::pair<Shape, Dims>>{{{7}, {}},
                                                                       {{5, 67}, {1}},
                                                                       {{67, 5}, {0}},
                                                                       {{3, 40, 7}, {0, 2}},
                                                                       {{2, 9, 600}, {1}},
                                                                       {{1, 1}, {0}}}) {
    const Tensor values = normal(shape) * 50;
    for (const DType dtype : {u8, boolean, bf16}) {
      INFO(dtype << shape);
      const Tensor x = values.to(dtype);
      const DType wide = dtype == bf16 ? f32 : i64;
      CHECK(sum(x, dims).dtype() == wide);
      CHECK(sum(x, dims).to_vector<double>() == sum(x.to(wide), dims).to_vector<double>());
      CHECK(max(x, dims).dtype() == (dtype == bf16 ? f32 : dtype));
      CHECK(max(x, dims).to_vector<double>() == max(x.to(wide), dims).to_vector<double>());
      CHECK(argmax(x, -1).to_vector<double>() == argmax(x.to(wide), -1).to_vector<double>());
      if (dtype != bf16) continue;
      for (const auto f : {sum, mean, max}) {
        Tensor small = x.clone().requires_grad_(), cast = x.clone().requires_grad_();
        const Tensor y = f(small, dims, false), reference = f(cast.to(f32), dims, false);
        CHECK(y.to_vector<double>() == reference.to_vector<double>());
        y.backward(y * 1.37);
        reference.backward(y * 1.37);
        CHECK(small.grad().dtype() == bf16);
        CHECK(small.grad().to_vector<double>() == cast.grad().to_vector<double>());
      }
    }
  }
  CHECK(std::isnan(max(tensor({1, NAN, 3}, {.dtype = bf16})).item()));
  CHECK(argmax(tensor({1, NAN, 3}, {.dtype = bf16}), 0).item<std::int64_t>() == 1);
}
