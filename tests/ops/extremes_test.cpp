// Gradients at NaN, at infinity and at the ends of f32: those of PyTorch 2.15, unless said otherwise.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>

using namespace karyon;

namespace {

constexpr float qnan = NAN, inf = INFINITY;

bool same(double x, double expected) {
  if (std::isnan(expected) || std::isinf(expected) || expected == 0)
    return std::isnan(expected) ? std::isnan(x) : x == expected;
  return std::abs(x - expected) <= 1e-5 * std::abs(expected);
}

struct Case {
  double x, dy, dx;
};
void check_unary(const char* name, const std::function<Tensor(const Tensor&)>& f,
                 const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Tensor x = tensor({c.x}).requires_grad_();
    f(x).backward(tensor({c.dy}));
    INFO(name << " at " << c.x << " with dy " << c.dy << ": " << x.grad());
    CHECK(same(x.grad().item(), c.dx));
  }
}

struct PairCase {
  double a, b, dy, da, db;
};
void check_binary(const char* name, const std::function<Tensor(const Tensor&, const Tensor&)>& f,
                  const std::vector<PairCase>& cases) {
  for (const PairCase& c : cases) {
    Tensor a = tensor({c.a}).requires_grad_(), b = tensor({c.b}).requires_grad_();
    f(a, b).backward(tensor({c.dy}));
    INFO(name << " of " << c.a << " and " << c.b << " with dy " << c.dy << ": " << a.grad() << b.grad());
    CHECK(same(a.grad().item(), c.da));
    CHECK(same(b.grad().item(), c.db));
  }
}

}  // namespace

TEST_CASE("gradients at NaN and infinity: functions of one tensor") {
  check_unary("relu", relu, {{qnan, 2, 2}, {inf, 2, 2}, {-inf, 2, 0}, {0, 2, 0}, {-0.0, 2, 0}});
  check_unary("leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.1); },
              {{qnan, 2, 0.2}, {0, 2, 0.2}, {-inf, 2, 0.2}});
  check_unary("abs", karyon::abs, {{qnan, 2, 0}, {0, 2, 0}, {-inf, 2, -2}});
  check_unary("sigmoid", sigmoid, {{qnan, 1, qnan}, {inf, 1, 0}, {-3e38, 1, 0}});
  check_unary("silu", silu, {{qnan, 1, qnan}, {3e38, 1e30, 1e30}, {-3e38, 1, 0}, {inf, 1, qnan}});
  check_unary("gelu", [](const Tensor& x) { return gelu(x); },
              {{qnan, 1, qnan}, {3e38, 1e30, 1e30}, {-3e38, 1, 0}});
  check_unary("hardtanh", [](const Tensor& x) { return hardtanh(x); },
              {{qnan, 2, 2}, {1, 2, 0}, {-1, 2, 0}, {0, 2, 2}, {inf, 2, 0}});
  check_unary("hardswish", hardswish, {{qnan, 2, 2}, {-3, 2, 0}, {3, 2, 2}, {inf, 2, 2}, {-inf, 2, 0}});
  check_unary("hardsigmoid", hardsigmoid, {{qnan, 2, 0}, {-3, 2, 0}, {3, 2, 0}, {0, 3, 0.5}});
  check_unary("elu", [](const Tensor& x) { return elu(x, -1.5); },
              {{qnan, 2, 2}, {0, 2, -3}, {inf, 2, 2}, {-inf, 2, 0}});
  check_unary("mish", mish, {{qnan, 1, qnan}, {inf, 1, qnan}, {-inf, 1, qnan}, {1e30, 2, 2}});
  check_unary("logsigmoid", logsigmoid, {{qnan, 1, qnan}, {inf, 1, 0}, {-inf, 2, 2}});
  check_unary("softsign", softsign, {{qnan, 1, qnan}, {inf, 1, qnan}, {-inf, 1, qnan}, {1e25, 1, 0}});
  check_unary("softplus", [](const Tensor& x) { return softplus(x); },
              {{qnan, 1, qnan}, {3e38, 2, 2}, {-inf, 1, 0}});
  check_unary("sqrt", karyon::sqrt, {{qnan, 1, qnan}, {inf, 1, 0}, {0, 1, inf}, {0, 0, qnan}, {-1, 1, qnan}});
  check_unary("log", karyon::log, {{qnan, 1, qnan}, {0, 1, inf}, {-0.0, 1, -inf}, {-1, 1, -1}});
  check_unary("exp", karyon::exp, {{qnan, 1, qnan}, {inf, 1, inf}, {inf, 0, qnan}, {-inf, 1, 0}});
  // On the limits 1, where PyTorch 2.15 gives 0.
  check_unary("clamp", [](const Tensor& x) { return clamp(x, 0, 1); },
              {{qnan, 2, 0}, {0, 2, 2}, {1, 2, 2}, {inf, 2, 0}, {-1e-40, 2, 0}});
}

TEST_CASE("gradients at the ends of the range: powers of a number") {
  const auto power = [](double p) { return [p](const Tensor& x) { return pow(x, p); }; };
  check_unary("pow 0", power(0), {{qnan, 1, 0}, {inf, 1, 0}, {0, 1, 0}});
  check_unary("pow 1", power(1), {{qnan, 2, 2}, {inf, 2, 2}, {0, 2, 2}});
  check_unary("pow 3", power(3), {{qnan, 1, qnan}, {3e38, 1, inf}, {0, 1, 0}, {2, 1e30, 1.2e31}});
  check_unary("pow 300", power(300), {{0.5, 1e30, 0}, {1, 1e30, 3e32}});
  check_unary("pow 0.5", power(0.5), {{0, 1, inf}, {0, 0, qnan}, {-1, 1, qnan}, {3e38, 1e30, 2.8867514e10}});
  // PyTorch multiplies 2 x and x x first: inf, NaN, -0 and -inf.
  check_unary("pow 2", power(2), {{qnan, 1, qnan}, {3e38, 1e-30, 6e8}, {3e38, 0, 0}, {1e-30, 3e38, 6e8}});
  check_unary("pow -1", power(-1), {{qnan, 1, qnan}, {2e19, 2, -5e-39}, {1e-25, 1e-30, -1e20}, {0, 1, -inf}});
}

TEST_CASE("gradients at the ends of the range: functions of two tensors") {
  check_binary("div", karyon::div,
               {{2e38, 4, 8, 2, -1e38},
                {0, 1e-20, 1e30, inf, 0},
                {1, 0, 1, inf, -inf},
                {qnan, 1, 1, 1, qnan},
                {1, qnan, 1, qnan, qnan},
                {2, inf, 1, 0, 0},
                {1e20, 1e30, 8, 8e-30, -8e-40}});
  check_binary("pow", [](const Tensor& a, const Tensor& b) { return pow(a, b); },
               {{0.5, 3e38, 2, 0, 0},
                {0, 2, 1, 0, 0},
                {0, 0, 1, 0, 0},
                {0, -1, 1, -inf, -inf},
                {-0.0, -3, 1, -inf, inf},
                {qnan, 0, 1, 0, qnan},
                {0, qnan, 1, qnan, qnan},
                {1, qnan, 1, qnan, 0},
                {-2, 3, 2, 24, qnan},
                {1e-30, 2, 2, 4e-30, 0},
                {0, inf, 1, qnan, 0}});
}

TEST_CASE("gradients at NaN: maximum, minimum and max") {
  for (const auto f : {maximum, minimum})
    check_binary("maximum or minimum", f,
                 {{qnan, qnan, 3, 3, 3},
                  {qnan, 1, 3, 3, 3},
                  {1, qnan, 3, 3, 3},
                  {1, 1, 3, 1.5, 1.5},
                  {inf, inf, 3, 1.5, 1.5}});
  check_binary("maximum", maximum, {{2, 1, 3, 3, 0}, {1, 2, 3, 0, 3}});
  check_binary("minimum", minimum, {{2, 1, 3, 0, 3}, {1, 2, 3, 3, 0}});
  // As torch.max; torch.amax gives NaN to all.
  Tensor x = tensor({qnan, 1.0f, qnan}).requires_grad_();
  max(x).backward(tensor(6.0));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{3, 0, 3});
}

TEST_CASE("gradients at the ends of the range: losses") {
  Tensor x = tensor({3e38, 0, 0, 0}).requires_grad_();
  mse_loss(x, tensor({1e38, 0, 0, 0})).backward();
  CHECK(same(x.grad().to_vector<double>()[0], 1e38));  // 2 (x - t) alone is infinite
  Tensor y = tensor({qnan, inf}).requires_grad_();
  l1_loss(y, tensor({1.0f, inf}), Reduction::sum).backward();
  CHECK(y.grad().to_vector<float>() == std::vector<float>{0, 0});
}

TEST_CASE("a NaN that ReLU passes reaches the gradient of the filters, in a lazy batch norm too") {
  // Channels of whole vectors are read lazily.
  Tensor x = zeros({1, 4, 4, 16});
  x.data<float>()[5] = qnan;
  const Tensor weight = ones({16}).requires_grad_();
  Tensor filters = ones({16, 1, 1, 16}).requires_grad_();
  const Tensor y = batch_norm(x, weight, zeros({16}), zeros({16}), ones({16}), {.relu = true});
  conv2d(y, filters).backward(ones({1, 4, 4, 16}));
  CHECK(std::isnan(filters.grad().to_vector<float>()[5]));
}
