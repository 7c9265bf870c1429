#include <cmath>
#include <limits>

#include <karyon/core/ops/function.h>

#include "by_element.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Function = Tensor (*)(const Tensor&);
struct Case {
  const char* name;
  Function op;
  double (*f)(double);
  double low, high;  // where the derivative is tame
};

const std::vector<Case> cases{
    {"sin", karyon::sin, std::sin, -9, 9},
    {"cos", karyon::cos, std::cos, -9, 9},
    {"tan", karyon::tan, std::tan, -1.2, 1.2},
    {"asin", karyon::asin, std::asin, -0.9, 0.9},
    {"acos", karyon::acos, std::acos, -0.9, 0.9},
    {"atan", karyon::atan, std::atan, -5, 5},
    {"sinh", karyon::sinh, std::sinh, -3, 3},
    {"cosh", karyon::cosh, std::cosh, -3, 3},
    {"log1p", karyon::log1p, std::log1p, -0.5, 3},
    {"expm1", karyon::expm1, std::expm1, -3, 3},
    {"log2", karyon::log2, std::log2, 0.5, 9},
    {"log10", karyon::log10, std::log10, 0.5, 9},
    {"exp2", karyon::exp2, std::exp2, -3, 3},
    {"rsqrt", karyon::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.5, 9},
    {"erf", karyon::erf, std::erf, -3, 3},
};

// The largest error of f32 results, in units of the last place of the exact result.
double worst_ulp(Function op, double (*f)(double), const Tensor& x) {
  const auto in = x.to_vector<float>(), out = op(x.to(device())).to_vector<float>();
  double worst = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double exact = f(static_cast<double>(in[i]));
    const double unit = std::max(std::exp2(std::floor(std::log2(std::abs(exact))) - 23), 0x1p-149);
    worst = std::max(worst, std::abs(out[i] - exact) / unit);
  }
  return worst;
}

// Positive and negative numbers from 2^low to 2^high.
Tensor magnitudes(double low, double high, std::int64_t n = 20000) {
  Tensor x = empty({n});
  for (std::int64_t i = 0; i < n; ++i) {
    const double size = std::exp2(low + (high - low) * static_cast<double>(i) / static_cast<double>(n));
    x.data<float>()[i] = static_cast<float>(i % 2 ? size : -size);
  }
  return x;
}

}  // namespace

TEST_CASE("functions of one number and their gradients") {
  for (const Case& c : cases) check_unary(c.name, c.op, c.f, c.low, c.high);
}

TEST_CASE("sine, cosine and tangent of floats are exact to 2 units for any size", "[cpu]") {
  for (const Tensor& x : {magnitudes(-30, 20), magnitudes(20, 127.99)}) {
    CHECK(worst_ulp(karyon::sin, std::sin, x) <= 2);
    CHECK(worst_ulp(karyon::cos, std::cos, x) <= 2);
    CHECK(worst_ulp(karyon::tan, std::tan, x) <= 4);
  }
  // The floats nearest to multiples of pi / 2.
  const Tensor near = tensor({1.57079637f, 3.14159274f, 6.28318548f, 11.0f, 16367173.0f * 0x1p72f, 5e-39f});
  CHECK(worst_ulp(karyon::sin, std::sin, near) <= 2);
  CHECK(worst_ulp(karyon::cos, std::cos, near) <= 2);
}

TEST_CASE("expm1, log1p and erf keep their digits near 0", "[cpu]") {
  CHECK(worst_ulp(karyon::expm1, std::expm1, magnitudes(-40, 6.3)) <= 5);
  CHECK(worst_ulp(karyon::log1p, std::log1p, magnitudes(-40, -0.1)) <= 2);
  CHECK(worst_ulp(karyon::erf, std::erf, magnitudes(-40, 3)) <= 2);
}

TEST_CASE("functions at the ends of their range") {
  const auto at = [](Function op, double x) { return op(tensor({x}, {.device = device()})).item(); };
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(std::isnan(at(c.op, NAN)));
  }
  for (const Function op : {karyon::sin, karyon::cos, karyon::tan})
    for (const double x : {INFINITY, -INFINITY}) CHECK(std::isnan(at(op, x)));
  CHECK(std::isnan(at(karyon::asin, 1.5)));
  CHECK(std::isnan(at(karyon::acos, -1.5)));
  CHECK(at(karyon::log1p, -1) == -INFINITY);
  CHECK(at(karyon::log2, 0) == -INFINITY);
  CHECK(at(karyon::expm1, 100) == INFINITY);
  CHECK(at(karyon::expm1, -INFINITY) == -1);
  CHECK(at(karyon::exp2, 128) == INFINITY);
  CHECK(at(karyon::rsqrt, 0) == INFINITY);
  CHECK(at(karyon::rsqrt, INFINITY) == 0);
  CHECK(at(karyon::erf, INFINITY) == 1);
  CHECK(at(karyon::atan, INFINITY) == Approx(std::atan(1.0) * 2));
}

TEST_CASE("functions give the same bits with any number of threads, f32 for bf16, and errors") {
  const Tensor x = values({70001}, 0.1, 0.9);
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(same_for_any_thread_count([&] { return c.op(x); }));
    CHECK(c.op(x.to(bf16)).dtype() == f32);
    CHECK_THROWS_WITH(c.op(zeros({1}, {.dtype = i64})),
                      std::string(c.name) + ": expects f32, f64 or bf16, got i64");
  }
}
