#include <algorithm>
#include <cmath>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/sort.h>

#include "op_check.h"
#include "reduced.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

const std::vector<std::pair<Shape, int>> sorts{{{}, 0},         {{1}, 0},        {{7}, -1},      {{3, 5}, 0},
                                               {{3, 5}, 1},     {{2, 3, 5}, -2}, {{2, 1, 3}, 1}, {{2, 67}, 1},
                                               {{2, 33, 3}, 1}, {{0, 3}, 1},     {{3, 2, 0}, 1}};

std::int64_t size_along(const Shape& shape, int dim) {
  return shape.dims() == 0 ? 1 : shape[dim < 0 ? dim + shape.dims() : dim];
}

// The columns of x along a dimension, each replaced by the first `k` of f(column).
Tensor by_column(const Tensor& x, int dim, std::int64_t k,
                 const std::function<std::vector<double>(std::vector<double>)>& f) {
  const std::int64_t n = size_along(x.shape(), dim);
  std::int64_t inner = 1;
  for (int d = (dim < 0 ? dim + x.dim() : dim) + 1; d < x.dim(); ++d) inner *= x.shape()[d];
  Shape shape = x.shape();
  if (x.dim() > 0) shape[dim < 0 ? dim + x.dim() : dim] = k;
  const auto in = x.to_vector<double>();
  std::vector<double> out(static_cast<std::size_t>(shape.numel()));
  for (std::int64_t c = 0; n > 0 && c < x.numel() / n; ++c) {
    std::vector<double> column;
    for (std::int64_t j = 0; j < n; ++j)
      column.push_back(in[static_cast<std::size_t>((c / inner * n + j) * inner + c % inner)]);
    column = f(column);
    for (std::int64_t j = 0; j < k; ++j)
      out[static_cast<std::size_t>((c / inner * k + j) * inner + c % inner)] =
          column[static_cast<std::size_t>(j)];
  }
  return tensor(out, shape, {.dtype = f64});
}
std::vector<double> ascending(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v;
}
std::vector<double> descending(std::vector<double> v) {
  std::sort(v.rbegin(), v.rend());
  return v;
}

}  // namespace

TEST_CASE("sort, topk, kthvalue and median along any dimension") {
  for (const auto& [shape, dim] : sorts) {
    const int d = dim;
    const std::int64_t n = size_along(shape, d), some = (n + 1) / 2;
    const Tensor x = normal(shape);
    check_op(
        "sort", [d](const auto& in) { return sort(in[0], d).values; },
        [&](const auto& in) { return by_column(in[0], d, n, ascending); }, {x});
    check_op(
        "descending", [d](const auto& in) { return sort(in[0], d, true).values; },
        [&](const auto& in) { return by_column(in[0], d, n, descending); }, {x});
    check_op(
        "topk", [&](const auto& in) { return topk(in[0], some, d).values; },
        [&](const auto& in) { return by_column(in[0], d, some, descending); }, {x});
    check_op(
        "smallest", [&](const auto& in) { return topk(in[0], some, d, false).values; },
        [&](const auto& in) { return by_column(in[0], d, some, ascending); }, {x});
    const auto middle = [](std::vector<double> v) { return std::vector{ascending(v)[(v.size() - 1) / 2]}; };
    if (x.dim() == 0) continue;
    check_op(
        "median", [d](const auto& in) { return median(in[0], d, true).values; },
        [&](const auto& in) { return by_column(in[0], d, 1, middle); }, {x});
    check_op(
        "kthvalue", [&](const auto& in) { return kthvalue(in[0], some, d, true).values; },
        [&](const auto& in) { return by_column(in[0], d, 1, middle); }, {x});
  }
  check_op(
      "median of all", [](const auto& in) { return median(in[0]); },
      [](const auto& in) {
        const auto v = ascending(in[0].template to_vector<double>());
        return tensor({v[(v.size() - 1) / 2]}, Shape(), {.dtype = f64});
      },
      {normal({3, 7, 2})});
}

TEST_CASE("sorts are stable, and NaN is the largest") {
  const Tensor x = tensor({2, NAN, 1, 2, -INFINITY, 1, NAN, 0.0, -0.0, INFINITY});
  for (const DType dtype : {f32, f64, bf16}) {
    INFO(dtype);
    const Tensor y = x.to(dtype).to(dtype == f64 ? Device::cpu() : device());
    CHECK(argsort(y).to_vector<std::int64_t>() == Ints{4, 7, 8, 2, 5, 0, 3, 9, 1, 6});
    CHECK(argsort(y, 0, true).to_vector<std::int64_t>() == Ints{1, 6, 9, 0, 3, 2, 5, 7, 8, 4});
    CHECK(topk(y, 4).indices.to_vector<std::int64_t>() == Ints{1, 6, 9, 0});
    CHECK(topk(y, 4, 0, false).indices.to_vector<std::int64_t>() == Ints{4, 7, 8, 2});
    CHECK(kthvalue(y, 5).indices.item<std::int64_t>() == 5);
    CHECK(median(y, 0).indices.item<std::int64_t>() == 1);
    CHECK(std::isnan(median(y).item()));
    CHECK(sort(y).values.dtype() == dtype);
  }
  const std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double
  CHECK(sort(tensor(Ints{large, large - 1, -large, 0}).to(device())).values.to_vector<std::int64_t>() ==
        Ints{-large, 0, large - 1, large});
  CHECK(argsort(tensor({3, 255, 0, 3}, {.dtype = u8}), 0, true).to_vector<std::int64_t>() ==
        Ints{1, 0, 3, 2});
  CHECK(argsort(tensor({true, false, true, false})).to_vector<std::int64_t>() == Ints{1, 3, 0, 2});
  CHECK(median(tensor({5, 1, 4, 2}, {.dtype = i64})).item<std::int64_t>() == 2);
}

TEST_CASE("elements that tie for the median share the gradient of all, but not along a dimension") {
  Tensor x = tensor({3, 1, 3, 9, 3}).to(device()).requires_grad_();
  median(x).backward();
  CHECK(x.grad().to_vector<double>() == tensor({1 / 3.0, 0, 1 / 3.0, 0, 1 / 3.0}).to_vector<double>());
  x.set_grad({});
  median(x, 0).values.backward();
  CHECK(x.grad().to_vector<float>() == Floats{0, 0, 1, 0, 0});
}

TEST_CASE("a long sort, and any number of threads") {
  const Tensor x = normal({3, 3001, 2});
  check_op(
      "sort", [](const auto& in) { return sort(in[0], 1).values; },
      [](const auto& in) { return by_column(in[0], 1, 3001, ascending); }, {x}, {.gradient = false});
  CHECK(same_for_any_thread_count([&] { return argsort(x, 1); }));
  CHECK(same_for_any_thread_count([&] { return topk(x, 7, 1).indices; }));
  CHECK(same_for_any_thread_count([&] { return median(x, 0).indices; }));
}

TEST_CASE("unique") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, f16, i32}) {
    const auto [values, inverse, counts] = unique(tensor({3, 1, 3, 2, 1, 3}, {2, 3}).to(dtype).to(device()));
    CHECK(values.dtype() == dtype);
    CHECK(values.to_vector<double>() == std::vector<double>{1, 2, 3});
    CHECK(inverse.to_vector<std::int64_t>() == Ints{2, 0, 2, 1, 0, 2});
    CHECK(inverse.shape() == Shape{2, 3});
    CHECK(counts.to_vector<std::int64_t>() == Ints{2, 1, 3});
  }
  CHECK(unique(tensor({true, true})).values.to_vector<bool>() == std::vector<bool>{true});
  CHECK(unique(tensor({NAN, 1, NAN})).values.numel() == 3);
  CHECK(unique(zeros({2, 0})).values.shape() == Shape{0});
}

TEST_CASE("bincount") {
  CHECK(bincount(tensor({1, 0, 4, 1}, {.dtype = i64})).to_vector<std::int64_t>() == Ints{1, 2, 0, 0, 1});
  CHECK(bincount(tensor({1, 1}, {.dtype = u8}), {}, 4).to_vector<std::int64_t>() == Ints{0, 2, 0, 0});
  const Tensor weighted = bincount(tensor({1, 0, 1}, {.dtype = i64}), tensor({0.5, 2, 3}));
  CHECK(weighted.to_vector<float>() == Floats{2, 3.5});
  CHECK(weighted.dtype() == f32);
  CHECK(bincount(zeros({0}, {.dtype = i64})).shape() == Shape{0});
  CHECK_THROWS_WITH(bincount(tensor({1, -1}, {.dtype = i64})),
                    Catch::Contains("bincount: expects no number below 0, got -1"));
  CHECK_THROWS_WITH(bincount(zeros({2, 2}, {.dtype = i64})),
                    Catch::Contains("bincount: expects i64, i32 or u8 [n], got i64[2, 2]"));
  CHECK_THROWS_WITH(bincount(zeros({2})),
                    Catch::Contains("bincount: expects i64, i32 or u8 [n], got f32[2]"));
  CHECK_THROWS_WITH(bincount(zeros({2}, {.dtype = i64}), zeros({3})),
                    Catch::Contains("bincount: expects weights [2]"));
}

TEST_CASE("histc") {
  const Tensor x = tensor({0, 0.5, 1, 2, 2.5, 4, -1, 5, NAN});
  CHECK(histc(x, {.bins = 4, .max = 4}).to_vector<float>() == Floats{2, 1, 2, 1});
  CHECK(histc(tensor({1, 2, 3}), {.bins = 2}).to_vector<float>() == Floats{1, 2});
  CHECK(histc(tensor({3, 3}), {.bins = 2}).to_vector<float>() == Floats{0, 2});
  CHECK(histc(zeros({0}), {.bins = 3}).to_vector<float>() == Floats{0, 0, 0});
  CHECK(histc(tensor({1, 2}, {.dtype = f64}), {.bins = 1}).dtype() == f64);
  CHECK_THROWS_WITH(histc(x, {.bins = 4}), Catch::Contains("histc: expects a finite range, got nan to nan"));
  CHECK_THROWS_WITH(histc(x, {.bins = 0}), Catch::Contains("histc: expects at least 1 bin, got 0"));
  CHECK_THROWS_WITH(histc(x, {.min = 2, .max = 1}),
                    Catch::Contains("histc: expects a finite range, got 2 to 1"));
}

TEST_CASE("searchsorted") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, f16, i32}) {
    INFO(dtype);
    const Device where = dtype == f64 ? Device::cpu() : device();
    const Tensor edges = tensor({1, 3, 3, 5}).to(dtype).to(where);
    const Tensor values = tensor({0, 1, 3, 4, 5, 6}, {2, 3}).to(dtype).to(where);
    CHECK(searchsorted(edges, values).to_vector<std::int64_t>() == Ints{0, 0, 1, 3, 3, 4});
    CHECK(searchsorted(edges, values, true).to_vector<std::int64_t>() == Ints{0, 1, 3, 3, 4, 4});
    CHECK(searchsorted(edges, values).shape() == Shape{2, 3});
  }
  const Tensor rows = tensor({1, 2, 3, 10, 20, 30}, {2, 3});
  const Tensor wanted = tensor({2, 5, 20, 25}, {2, 2});
  CHECK(searchsorted(rows.to(device()), wanted.to(device())).to_vector<std::int64_t>() == Ints{1, 3, 1, 2});
  const Tensor nan = tensor({NAN, INFINITY}).to(device());
  CHECK(searchsorted(tensor({1, 2, NAN}).to(device()), nan).to_vector<std::int64_t>() == Ints{3, 3});
  CHECK(searchsorted(tensor({1, 2}), full({}, 1.5)).item<std::int64_t>() == 1);
  CHECK(searchsorted(zeros({0}), zeros({2})).to_vector<std::int64_t>() == Ints{0, 0});
  CHECK(searchsorted(zeros({3}), zeros({2, 0})).shape() == Shape{2, 0});
  CHECK_THROWS_WITH(searchsorted(rows, zeros({3, 2})),
                    Catch::Contains("searchsorted: expects one dimension or leading sizes like"));
  CHECK_THROWS_WITH(searchsorted(rows, zeros({2, 2}, {.dtype = f64})),
                    Catch::Contains("searchsorted: expects one dtype other than bool, got f32 and f64"));
}

TEST_CASE("sort misuse") {
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH(sort(x, 2), Catch::Contains("sort: dimension 2 of a tensor with 2"));
  CHECK_THROWS_WITH(topk(x, 4), Catch::Contains("topk: expects a k from 0 to 3, got 4"));
  CHECK_THROWS_WITH(topk(x, -1, 0), Catch::Contains("topk: expects a k from 0 to 2, got -1"));
  CHECK_THROWS_WITH(kthvalue(x, 0), Catch::Contains("kthvalue: expects a k from 1 to 3, got 0"));
  CHECK_THROWS_WITH(median(zeros({0, 3}), 0), Catch::Contains("median: expects something to choose from"));
  CHECK_THROWS_WITH(median(zeros({0})), Catch::Contains("median: expects something to choose from"));
  CHECK(topk(x, 0).values.shape() == Shape{2, 0});
  CHECK(median(zeros({0, 3}), 1).values.shape() == Shape{0});
}
