#include <algorithm>
#include <functional>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/scan.h>

#include "op_check.h"
#include "reduced.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

// The running totals of x along a dimension by a plain loop.
Tensor running(const Tensor& x, int dim, const std::function<double(double, double)>& join) {
  std::vector<double> y = x.to_vector<double>();
  std::int64_t inner = 1;
  dim = dim < 0 ? dim + x.dim() : dim;
  for (int d = dim + 1; d < x.dim(); ++d) inner *= x.shape()[d];
  const std::int64_t n = x.dim() == 0 ? 1 : x.shape()[dim];
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (i / inner % n == 0) continue;
    const double before = y[static_cast<std::size_t>(i - inner)];
    double& here = y[static_cast<std::size_t>(i)];
    here = join(before, here);
  }
  return tensor(y, x.shape(), {.dtype = f64});
}

const std::vector<std::pair<Shape, int>> scans{{{}, 0},         {{1}, 0},        {{7}, -1},      {{3, 5}, 0},
                                               {{3, 5}, 1},     {{2, 3, 5}, -2}, {{2, 1, 3}, 1}, {{2, 67}, 1},
                                               {{2, 33, 3}, 1}, {{0, 3}, 1},     {{3, 0, 2}, 1}};

}  // namespace

TEST_CASE("cumsum and cumprod along any dimension") {
  for (const auto& [shape, dim] : scans) {
    const int d = dim;
    check_op(
        "cumsum", [d](const auto& x) { return cumsum(x[0], d); },
        [d](const auto& x) { return running(x[0], d, std::plus<>()); }, {normal(shape)});
    check_op(
        "cumprod", [d](const auto& x) { return cumprod(x[0], d); },
        [d](const auto& x) { return running(x[0], d, std::multiplies<>()); }, {normal(shape)},
        {.bf16_gradient_tolerance = 6.0 / 256});
  }
}

TEST_CASE("cummax and cummin along any dimension") {
  for (const auto& [shape, dim] : scans) {
    const int d = dim;
    check_op(
        "cummax", [d](const auto& x) { return cummax(x[0], d).values; },
        [d](const auto& x) { return running(x[0], d, [](double a, double b) { return std::max(a, b); }); },
        {normal(shape)});
    check_op(
        "cummin", [d](const auto& x) { return cummin(x[0], d).values; },
        [d](const auto& x) { return running(x[0], d, [](double a, double b) { return std::min(a, b); }); },
        {normal(shape)});
  }
  const Tensor x = tensor({1, 3, 3, 0, NAN, 5, NAN}).to(device());
  CHECK(cummax(x, 0).indices.to_vector<std::int64_t>() == Ints{0, 1, 2, 2, 4, 4, 6});
  CHECK(cummin(x, 0).indices.to_vector<std::int64_t>() == Ints{0, 0, 0, 3, 4, 4, 6});
  CHECK(cummax(x.to(bf16), 0).values.dtype() == bf16);
  const Tensor whole = tensor(Ints{2, 1, 2, 7}).to(device());
  CHECK(cummax(whole, 0).values.to_vector<std::int64_t>() == Ints{2, 2, 2, 7});
  CHECK_THROWS_WITH(cummin(x, 1), Catch::Contains("cummin: dimension 1 of a tensor with 1"));
}

TEST_CASE("a running product has a gradient at 0, too") {
  auto gradient = [](Tensor x) {
    x = x.to(device()).requires_grad_();
    cumprod(x, 0).backward(tensor({1, 10, 100}).to(device()));
    return x.grad().to_vector<float>();
  };
  CHECK(gradient(tensor({2, 3, 5})) == Floats{1 + 30 + 1500, 20 + 1000, 600});
  CHECK(gradient(tensor({0, 3, 5})) == Floats{1 + 30 + 1500, 0, 0});
  CHECK(gradient(tensor({2, 0, 5})) == Floats{1, 20 + 1000, 0});
  CHECK(gradient(tensor({0, 0, 5})) == Floats{1, 0, 0});
}

TEST_CASE("running totals of whole numbers are exact") {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double
  CHECK(cumsum(tensor(Ints{large, 1, -large}), 0).to_vector<std::int64_t>() == Ints{large, large + 1, 1});
  CHECK(cumprod(tensor(Ints{large, -1, 2}), 0).to_vector<std::int64_t>() == Ints{large, -large, -2 * large});
  CHECK(cumsum(full({3}, 255, {.dtype = u8}), 0).to_vector<std::int64_t>() == Ints{255, 510, 765});
  CHECK(cumsum(tensor({true, false, true}), -1).to_vector<std::int64_t>() == Ints{1, 1, 2});
  CHECK(cumprod(tensor({true, false, true}), -1).dtype() == i64);
}

TEST_CASE("running sums keep their digits, and their bits with any number of threads") {
  const Tensor x = full({100000}, 0.1);
  CHECK(cumsum(x, 0)[99999].item<double>() == Approx(10000).epsilon(1e-7));
  const Tensor y = normal({70, 50, 30});
  for (const int dim : {0, 1, 2}) {
    CHECK(same_for_any_thread_count([&] { return cumsum(y, dim); }));
    CHECK(same_for_any_thread_count([&] { return cumprod(y * 1.3, dim); }));
  }
}

TEST_CASE("scan misuse") {
  CHECK_THROWS_WITH(cumsum(zeros({2, 3}), 2), Catch::Contains("cumsum: dimension 2 of a tensor with 2"));
  CHECK_THROWS_WITH(cumprod(zeros(Shape{}), 1), Catch::Contains("cumprod: dimension 1 of a tensor with"));
}
