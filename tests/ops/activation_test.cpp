#include <algorithm>

#include "bf16_check.h"

#include <karyon/core/ops/activation.h>

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Function = std::function<Tensor(const Tensor&)>;

struct Case {
  std::string name;
  Function op;
  std::function<double(double)> f;
};

Tensor exact_gelu(const Tensor& x) { return gelu(x); }  // not overloaded

const std::vector<Case> cases{
    {"relu", relu, [](double x) { return std::max(x, 0.0); }},
    {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.2); },
     [](double x) { return x > 0 ? x : 0.2 * x; }},
    {"leaky_relu, negative slope", [](const Tensor& x) { return leaky_relu(x, -0.5); },
     [](double x) { return x > 0 ? x : -0.5 * x; }},
    {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"tanh", [](const Tensor& x) { return tanh(x); }, [](double x) { return std::tanh(x); }},
    {"softplus", [](const Tensor& x) { return softplus(x); },
     [](double x) { return std::log(1 + std::exp(x)); }},
    {"softplus, beta and threshold", [](const Tensor& x) { return softplus(x, {.beta = 2, .threshold = 3}); },
     [](double x) { return 2 * x > 3 ? x : std::log(1 + std::exp(2 * x)) / 2; }},
    {"silu", silu, [](double x) { return x / (1 + std::exp(-x)); }},
    {"gelu", exact_gelu, [](double x) { return x * (1 + std::erf(x / std::sqrt(2.0))) / 2; }},
    {"gelu, tanh", [](const Tensor& x) { return gelu(x, {.approximate = GeluApproximate::tanh}); },
     [](double x) { return x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))) / 2; }},
    {"relu6", relu6, [](double x) { return std::clamp(x, 0.0, 6.0); }},
    {"hardtanh", [](const Tensor& x) { return hardtanh(x); },
     [](double x) { return std::clamp(x, -1.0, 1.0); }},
    {"hardtanh, limits", [](const Tensor& x) { return hardtanh(x, -2, 0.5); },
     [](double x) { return std::clamp(x, -2.0, 0.5); }},
    {"hardsigmoid", hardsigmoid, [](double x) { return std::clamp(x + 3, 0.0, 6.0) / 6; }},
    {"hardswish", hardswish, [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }},
    {"elu", [](const Tensor& x) { return elu(x); }, [](double x) { return x > 0 ? x : std::expm1(x); }},
    {"elu, alpha", [](const Tensor& x) { return elu(x, -0.7); },
     [](double x) { return x > 0 ? x : -0.7 * std::expm1(x); }},
    {"celu", [](const Tensor& x) { return celu(x, 2); },
     [](double x) { return x > 0 ? x : 2 * std::expm1(x / 2); }},
    {"selu", selu,
     [](double x) { return 1.05070098735548049342 * (x > 0 ? x : 1.67326324235437728482 * std::expm1(x)); }},
    {"mish", mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {"logsigmoid", logsigmoid, [](double x) { return -std::log1p(std::exp(-x)); }},
    {"softsign", softsign, [](double x) { return x / (1 + std::abs(x)); }},
};
// Where these have no derivative.
constexpr double kinks[] = {0, 1.5, 6, 1, -1, -2, 0.5, -3, 3};

// In (-4, 7), no closer than 0.01 to the kinks.
Tensor inputs(const Shape& shape) {
  Generator generator(5);
  Tensor x = empty(shape);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    double v = 0;
    while (std::any_of(std::begin(kinks), std::end(kinks), [=](double k) { return std::abs(v - k) < 0.01; }))
      v = generator.uniform(-4, 7);
    x.data<float>()[i] = static_cast<float>(v);
  }
  return x;
}

float at(const Function& f, double x) { return f(tensor({x})).item(); }
float slope_at(const Function& f, double x) {
  Tensor leaf = tensor({x}).requires_grad_();
  f(leaf).backward();
  return leaf.grad().item();
}

}  // namespace

TEST_CASE("activations and their gradients") {
  for (const Case& c : cases)
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{17}, Shape{3, 5, 7}, Shape{2, 0}})
      check_op(
          c.name, [&](const auto& x) { return c.op(x[0]); },
          [&](const auto& x) {
            auto v = x[0].template to_vector<double>();
            for (double& value : v) value = c.f(value);
            return tensor(v, x[0].shape(), {.dtype = f64});
          },
          {inputs(shape)});
}

TEST_CASE("activations far out stay finite and exact") {
  CHECK(sigmoid(tensor({-1e4, 1e4, 0, -INFINITY, INFINITY})).to_vector<float>() == Floats{0, 1, 0.5, 0, 1});
  CHECK(at(sigmoid, -80) == Approx(std::exp(-80.0)).epsilon(1e-5));  // not lost to rounding
  CHECK(at([](const Tensor& x) { return tanh(x); }, 1e4) == 1);
  CHECK(at([](const Tensor& x) { return softplus(x); }, 1e4) == 1e4f);
  CHECK(at([](const Tensor& x) { return softplus(x); }, -1e4) == 0);
  CHECK(at([](const Tensor& x) { return softplus(x); }, -15) == Approx(std::exp(-15.0)).epsilon(1e-5));
  CHECK(at([](const Tensor& x) { return softplus(x, {.threshold = 1e9}); }, 1e4) == 1e4f);
  CHECK(at(silu, 1e4) == 1e4f);
  CHECK(at(silu, -1e4) == 0);
  CHECK(at(exact_gelu, 1e4) == 1e4f);
  CHECK(at(exact_gelu, -6) == Approx(-6 * 0.5 * std::erfc(6 / std::sqrt(2.0))).epsilon(1e-5));
  for (const Case& c : cases)
    for (const double x : {-1e4, 1e4}) {
      INFO(c.name << " at " << x);
      CHECK(std::isfinite(slope_at(c.op, x)));
    }
}

TEST_CASE("tanh, sigmoid and softplus of floats keep their relative precision, near zero and far") {
  const std::int64_t n = 4001;
  Tensor x = empty({n});
  for (std::int64_t i = 0; i < n; ++i) {
    const double size = std::exp2(-20 + 26 * static_cast<double>(i) / (n - 1));  // 1e-6 to 64
    x.data<float>()[i] = static_cast<float>(i % 2 ? size : -size);
  }
  for (const Case& c : {cases[3], cases[4], cases[5]}) {
    const auto y = c.op(x).to_vector<float>();
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double v = x.data<float>()[i];
      const double expected = c.name == "softplus" ? std::log1p(std::exp(v)) : c.f(v);
      worst = std::max(worst, std::abs(y[static_cast<std::size_t>(i)] / expected - 1));
    }
    INFO(c.name);
    CHECK(worst <= 4e-7);
  }
}

TEST_CASE("activations at the kink, and of NaN") {
  CHECK(slope_at(relu, 0) == 0);
  CHECK(slope_at([](const Tensor& x) { return leaky_relu(x, 0.25); }, 0) == 0.25f);
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(std::isnan(at(c.op, NAN)));
  }
}

TEST_CASE("activations give the same bits for any number of threads") {
  const Tensor x = inputs({100003});
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(test::same_for_any_thread_count([&] { return c.op(x); }));
    CHECK(test::same_for_any_thread_count([&] {
      Tensor leaf = x.detach().requires_grad_();
      c.op(leaf).backward(x);
      return leaf.grad();
    }));
  }
}

TEST_CASE("an activation that keeps only its output lets the input go") {
  Tensor x = inputs({5}).requires_grad_();
  Tensor doubled = leaky_relu(x, -1);  // a non-leaf that only relu's input handle holds
  const std::weak_ptr<Storage> input = doubled.impl()->storage;
  const Tensor y = relu(doubled);
  doubled = Tensor();
  CHECK(input.expired());
  y.backward(ones({5}));
  CHECK(x.grad().defined());
}

TEST_CASE("activation misuse") {
  CHECK_THROWS_WITH(relu(zeros({1}, {.dtype = i64})),
                    Catch::Contains("relu: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(softplus(zeros({1}), {.beta = 0}),
                    Catch::Contains("softplus: expects a beta other than 0"));
  CHECK_THROWS_WITH(celu(zeros({1}), 0), Catch::Contains("celu: expects an alpha other than 0"));
  CHECK_THROWS_WITH(hardtanh(zeros({1}), 2, 1),
                    Catch::Contains("hardtanh: expects low <= high, got 2 and 1"));
  CHECK_THROWS_WITH(mish(zeros({1}, {.dtype = u8})),
                    Catch::Contains("mish: expects f32, f64 or bf16, got u8"));
}

TEST_CASE("gelu in f32 keeps its digits, tails included") {
  std::vector<double> points;
  for (double x = -12.5; x <= 12.5; x += 1.0 / 64) points.push_back(x);
  const Tensor x = tensor(points);
  const std::vector<float> y = gelu(x).to_vector<float>();
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double exact = 0.5 * points[i] * std::erfc(-points[i] * std::sqrt(0.5));
    const double allowed = (points[i] > -4 ? 2e-6 : 2e-5) * std::abs(exact);
    INFO(points[i]);
    CHECK(std::abs(static_cast<double>(y[i]) - exact) <= allowed);
  }
  CHECK(std::isnan(gelu(tensor({NAN})).item()));
  CHECK(gelu(tensor({INFINITY})).item() == INFINITY);
}

TEST_CASE("prelu with one weight, one for each channel, and f32 weights beside bf16") {
  for (const auto& [shape, weights] : std::vector<std::pair<Shape, Shape>>{{{3, 5, 7}, {7}},
                                                                           {{3, 5, 7}, {1}},
                                                                           {{17}, {}},
                                                                           {{}, {1}},
                                                                           {{2, 1}, {1}},
                                                                           {{0, 3}, {3}},
                                                                           {{5, 33}, {33}}})
    check_op(
        "prelu", [](const auto& x) { return prelu(x[0], x[1]); },
        [](const auto& x) {
          auto v = x[0].template to_vector<double>();
          const auto w = x[1].template to_vector<double>();
          for (std::size_t i = 0; i < v.size(); ++i) v[i] *= v[i] > 0 ? 1 : w[i % w.size()];
          return tensor(v, x[0].shape(), {.dtype = f64});
        },
        {inputs(shape), inputs(weights) * 0.2}, {.parameters_from = 1});
  const Tensor x = zeros({2, 3});
  CHECK(prelu(x.to(bf16), zeros({3}).to(bf16)).dtype() == bf16);
  CHECK_THROWS_WITH(
      prelu(x, zeros({2})),
      Catch::Contains("expects a weight of 1 element or one for each channel of [2, 3], got [2]"));
  CHECK_THROWS_WITH(prelu(x, zeros({1, 1})), Catch::Contains("got [1, 1]"));
  CHECK_THROWS_WITH(prelu(x, zeros({3}, {.dtype = f64})),
                    Catch::Contains("prelu: expects a weight of f32, got f64"));
  CHECK_THROWS_WITH(prelu(zeros({1}, {.dtype = u8}), zeros({1})), Catch::Contains("got u8"));
}

TEST_CASE("glu along each dimension") {
  for (const auto& [shape, dim] : std::vector<std::pair<Shape, int>>{{{2}, 0},
                                                                     {{3, 5, 14}, -1},
                                                                     {{3, 6, 7}, 1},
                                                                     {{4, 5, 7}, 0},
                                                                     {{2, 0, 4}, 2},
                                                                     {{3, 0}, 1},
                                                                     {{5, 66}, -1}})
    check_op(
        "glu", [along = dim](const auto& x) { return glu(x[0], along); },
        [along = dim](const auto& x) {
          const Shape& s = x[0].shape();
          const int d = along < 0 ? along + s.dims() : along;
          Shape half = s;
          half[d] /= 2;
          std::int64_t inner = 1;
          for (int i = d; i < s.dims(); ++i) inner *= half[i];
          const auto in = x[0].template to_vector<double>();
          std::vector<double> out;
          for (std::int64_t i = 0; i < half.numel(); ++i) {
            const auto a = static_cast<std::size_t>(2 * (i / inner) * inner + i % inner);
            out.push_back(in[a] / (1 + std::exp(-in[a + static_cast<std::size_t>(inner)])));
          }
          return tensor(out, half, {.dtype = f64});
        },
        {inputs(shape)});
  CHECK_THROWS_WITH(glu(zeros({2, 3})),
                    Catch::Contains("glu: expects an even size in dimension -1, got [2, 3]"));
  CHECK_THROWS_WITH(glu(zeros({})), Catch::Contains("glu: expects at least 1 dimension"));
  CHECK_THROWS_WITH(glu(zeros({2}), 1), Catch::Contains("glu"));
  const Tensor x = inputs({3, 20002, 3});
  CHECK(same_for_any_thread_count([&] {
    Tensor leaf = x.detach().requires_grad_();
    glu(leaf, 1).backward(ones({3, 10001, 3}));
    return std::vector{glu(x, 1), leaf.grad()};
  }));
}

TEST_CASE("activations keep their digits where they cancel", "[cpu]") {
  for (const double x : {-1e-6, -0.01, -0.69, -0.71, -5.0, -30.0})
    CHECK(at([](const Tensor& t) { return elu(t); }, x) == Approx(std::expm1(x)).epsilon(5e-7));
  CHECK(at(logsigmoid, 15) == Approx(-std::exp(-15.0)).epsilon(1e-6));
  CHECK(at(logsigmoid, -1e4) == -1e4f);
  CHECK(at(mish, -40) == Approx(-40 * std::exp(-40.0)).epsilon(1e-6));
  CHECK(at([](const Tensor& t) { return gelu(t, {.approximate = GeluApproximate::tanh}); }, -6) ==
        Approx(-6 / (1 + std::exp(2 * 0.79788456080286535588 * (6 + 0.044715 * 216)))).epsilon(1e-5));
}

TEST_CASE("bf16 activations", "[cpu]") {
  const std::vector<Bf16Input> one{{{3, 5, 67}}};
  check_bf16(
      "relu", [](const auto& in) { return relu(in[0]); }, one);
  check_bf16(
      "sigmoid", [](const auto& in) { return sigmoid(in[0]); }, one, 4e-3);
  check_bf16(
      "gelu", [](const auto& in) { return gelu(in[0]); }, one, 4e-3);
}
