#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

Tensor reference(const Tensor& x, std::int64_t n, const Tensor& weight, double eps) {
  auto y = x.to_vector<double>();
  const auto w = weight.defined() ? weight.to_vector<double>() : std::vector<double>();
  const auto size = static_cast<std::size_t>(n);
  for (std::size_t first = 0; first < y.size(); first += size) {
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += y[first + i] * y[first + i];
    const double scale = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
    for (std::size_t i = 0; i < size; ++i) y[first + i] *= scale * (w.empty() ? 1 : w[i]);
  }
  return tensor(y, x.shape(), {.dtype = f64});
}

}  // namespace

TEST_CASE("rms_norm over odd shapes") {
  Generator generator(3);
  const std::vector<std::pair<Shape, Shape>> cases{{{3, 5}, {5}}, {{2, 3, 33}, {33}}, {{2, 3, 4}, {3, 4}},
                                                   {{1}, {1}},    {{2, 1}, {1}},      {{5, 2100}, {2100}},
                                                   {{0, 7}, {7}}};
  for (const auto& one : cases)
    for (const bool weighted : {false, true}) {
      const Shape& over = one.second;
      check_op(
          "rms_norm", [&](const std::vector<Tensor>& x) { return rms_norm(x[0], over, x[1], {.eps = 1e-3}); },
          [&](const std::vector<Tensor>& x) { return reference(x[0], over.numel(), x[1], 1e-3); },
          {randn(one.first, generator) * 2.0 + 0.5, weighted ? randn(over, generator) : Tensor()},
          {.gradient_tolerance = 2e-4, .parameters_from = 1});
    }
}

TEST_CASE("rms_norm: without eps it is the spacing of numbers at 1") {
  const Tensor x = full({1, 4}, 1e-4);
  for (const DType dtype : {f32, bf16})
    CHECK(rms_norm(x.to(dtype).to(device()), {4}).to_vector<double>()[0] ==
          Approx(1e-4 / std::sqrt(1e-8 + 0x1p-23)).epsilon(0.01));
  CHECK(rms_norm(x.to(f64), {4}).to_vector<double>()[0] == Approx(1));
  CHECK(same_for_any_thread_count([] {
    Generator generator(3);
    Tensor w = ones({70}).requires_grad_(), y = rms_norm(randn({900, 70}, generator), {70}, w);
    sum(y * y).backward();
    return std::vector{y.detach(), w.grad()};
  }));
}

TEST_CASE("rms_norm refuses what does not fit") {
  CHECK_THROWS_WITH(rms_norm(zeros({2, 3}), {4}), Contains("rms_norm: expects x to end in [4]"));
  CHECK_THROWS_WITH(rms_norm(zeros({2, 0}), {0}), Contains("values to normalize"));
  CHECK_THROWS_WITH(rms_norm(zeros({2, 3}), {3}, zeros({2})), Contains("rms_norm: weight expects"));
  CHECK_THROWS_WITH(rms_norm(zeros({2}, {.dtype = i64}), {2}), Contains("expects f32, f64 or bf16"));
}
