#include <algorithm>
#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/statistics.h>

#include "op_check.h"
#include "reduced.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;

double average(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}
double variance(const std::vector<double>& v, double correction) {
  const double mean = average(v);
  double sum = 0;
  for (const double x : v) sum += (x - mean) * (x - mean);
  return sum / (static_cast<double>(v.size()) - correction);
}
double p_norm(const std::vector<double>& v, double p) {
  double sum = 0, largest = 0;
  for (const double x : v) {
    largest = std::max(largest, std::abs(x));
    sum += p == 0 ? x != 0 : std::pow(std::abs(x), p);
  }
  return std::isinf(p) ? largest : p == 0 ? sum : std::pow(sum, 1 / p);
}

}  // namespace

TEST_CASE("var, std and var_mean over any dimensions") {
  for (const bool keepdim : {false, true})
    for (const auto& [shape, dims] : reduced_shapes) {
      const Tensor x = normal(shape);
      const std::int64_t count = x.numel() / std::max<std::int64_t>(sum(x, dims).numel(), 1);
      // One value has no deviation: 0 without the correction, NaN with it.
      const VarOptions options{.correction = count > 1 ? 1.0 : 0.0, .keepdim = keepdim};
      const auto reference = [&, d = dims](const auto& f) {
        return [&, d](const std::vector<Tensor>& in) { return reduced(in[0], d, keepdim, f); };
      };
      check_op("var", [&, d = dims](const auto& in) { return var(in[0], d, options); },
               reference([&](const auto& v) { return variance(v, options.correction); }), {x});
      check_op("mean", [&, d = dims](const auto& in) { return var_mean(in[0], d, options).mean; },
               reference([](const auto& v) { return average(v); }), {x});
      if (count == 1) continue;  // no gradient at 0
      check_op("std", [&, d = dims](const auto& in) { return karyon::std(in[0], d, options); },
               reference([](const auto& v) { return std::sqrt(variance(v, 1)); }), {x});
      check_op("population variance",
               [&, d = dims](const auto& in) {
                 return var_mean(in[0], d, {.correction = 0, .keepdim = keepdim}).var;
               },
               reference([](const auto& v) { return variance(v, 0); }), {x});
    }
}

TEST_CASE("the variance of one value and of none") {
  CHECK(std::isnan(var(tensor({3}).to(device())).item()));
  CHECK(var(tensor({3}).to(device()), {}, {.correction = 0}).item() == 0);
  CHECK(std::isnan(var(zeros({0}, {.device = device()})).item()));
  CHECK(var(zeros({0, 3}), {1}).shape() == Shape{0});
  CHECK(std::isnan(var(tensor({1, INFINITY})).item()));
  Tensor x = tensor({2, 2, 2}).to(device()).requires_grad_();
  const Tensor y = karyon::std(x);
  CHECK(y.item() == 0);
  y.backward();
  CHECK(x.grad().to_vector<float>() == Floats{0, 0, 0});
}

TEST_CASE("a variance keeps its digits far from 0") {
  const std::int64_t n = 100001;
  Tensor x = empty({n});
  for (std::int64_t i = 0; i < n; ++i) x.data<float>()[i] = 1e6f + static_cast<float>(i % 5);
  const auto values = x.to_vector<double>();
  CHECK(var(x).item<double>() == Approx(variance(values, 1)).epsilon(1e-6));
  CHECK(var(x.reshape({n, 1}), {0}).item<double>() == Approx(variance(values, 1)).epsilon(1e-6));
}

TEST_CASE("norms over any dimensions") {
  for (const double p : {0.0, 0.5, 1.0, 2.0, 3.0, -1.0, double{INFINITY}})
    for (const auto& [shape, dims] : reduced_shapes) {
      INFO("p " << p);
      // Away from 0, where a power below 1 has no slope.
      const Tensor x = where(lt(normal(shape), 0), normal(shape) - 0.3, normal(shape) + 0.3);
      check_op(
          "norm", [&, d = dims](const auto& in) { return norm(in[0], p, d, true); },
          [&, d = dims](const auto& in) {
            return reduced(in[0], d, true, [&](const auto& v) { return p_norm(v, p); });
          },
          {x}, {.gradient = p != 0, .bf16_gradient_tolerance = 8.0 / 256});
    }
}

TEST_CASE("norms of zeros, of nothing and of extremes") {
  for (const double p : {0.0, 0.5, 1.0, 2.0, 3.0}) {
    Tensor x = zeros({3}, {.device = device()}).requires_grad_();
    const Tensor y = norm(x, p);
    CHECK(y.item() == 0);
    y.backward();
    CHECK(x.grad().defined() == (p != 0));
    if (p != 0) CHECK(x.grad().to_vector<float>() == Floats{0, 0, 0});
    CHECK(norm(zeros({0, 2}, {.device = device()}), p, {0}).to_vector<float>() == Floats{0, 0});
  }
  CHECK(norm(tensor({3e30, 4e30}).to(device())).item() == Approx(5e30));
  CHECK(norm(tensor({-3, 1, 2}), -INFINITY).item() == 1);
  CHECK(std::isnan(norm(tensor({NAN, 1}), INFINITY).item()));
  CHECK_THROWS_WITH(norm(zeros({0}), INFINITY),
                    Catch::Contains("norm: expects something to reduce for p = inf"));
  CHECK_THROWS_WITH(norm(zeros({2}, {.dtype = i64})),
                    Catch::Contains("norm: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(var(zeros({2}, {.dtype = u8})), Catch::Contains("var: expects f32, f64 or bf16, got u8"));
  CHECK_THROWS_WITH(karyon::std(zeros({2, 3}), {0, -2}), Catch::Contains("std: dimension -2 is given twice"));
}

TEST_CASE("statistics do not depend on the number of threads") {
  const Tensor x = normal({3, 5000, 70});
  for (const Dims& dims : {Dims{}, Dims{0, 2}, Dims{1}, Dims{1, 2}}) {
    CHECK(same_for_any_thread_count([&] { return var(x, dims); }));
    CHECK(same_for_any_thread_count([&] { return norm(x, 3, dims); }));
    CHECK(same_for_any_thread_count([&] { return prod(x * 1.2, dims); }));
    CHECK(same_for_any_thread_count([&] { return logsumexp(x, dims); }));
  }
}
