#include <limits>

#include "bf16_check.h"
#include "by_element.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Bools = std::vector<bool>;

}  // namespace

TEST_CASE("binary operations broadcast, and so do their gradients") {
  check_binary(
      "add", add, [](double a, double b) { return a + b; }, -2, 2);
  check_binary(
      "sub", sub, [](double a, double b) { return a - b; }, -2, 2);
  check_binary(
      "mul", mul, [](double a, double b) { return a * b; }, -2, 2);
  check_binary(
      "div", div, [](double a, double b) { return a / b; }, 0.5, 2);
  check_binary(
      "pow", pow, [](double a, double b) { return std::pow(a, b); }, 0.5, 2);
  check_binary(
      "maximum", maximum, [](double a, double b) { return a < b ? b : a; }, -2, 2);
  check_binary(
      "minimum", minimum, [](double a, double b) { return a < b ? a : b; }, -2, 2);
}

TEST_CASE("only one side wanting a gradient is enough") {
  const std::vector<std::pair<Tensor (*)(const Tensor&, const Tensor&), double>> ops{
      {sub, -1}, {mul, 3}, {div, -0.75}, {pow, 9 * std::log(3.0)}};
  for (const auto& [op, expected] : ops) {
    Tensor b = tensor({2}).requires_grad_();
    op(tensor({3}), b).backward();
    CHECK(b.grad().item<double>() == Approx(expected));
  }
  Tensor a = tensor({3}).requires_grad_();
  div(a, tensor({2})).backward();
  CHECK(a.grad().item() == 0.5f);
}

TEST_CASE("unary operations and numbers") {
  check_unary(
      "neg", neg, [](double x) { return -x; }, -2, 2);
  check_unary(
      "exp", [](const Tensor& x) { return exp(x); }, [](double x) { return std::exp(x); }, -3, 3);
  check_unary(
      "log", [](const Tensor& x) { return log(x); }, [](double x) { return std::log(x); }, 0.5, 3);
  check_unary(
      "sqrt", [](const Tensor& x) { return sqrt(x); }, [](double x) { return std::sqrt(x); }, 0.5, 3);
  check_unary(
      "abs", [](const Tensor& x) { return abs(x); }, [](double x) { return std::abs(x); }, -2, 2);
  check_unary(
      "clamp", [](const Tensor& x) { return clamp(x, -0.5, 0.75); },
      [](double x) { return std::min(std::max(x, -0.5), 0.75); }, -2, 2);
  check_unary(
      "x + 3", [](const Tensor& x) { return x + 3; }, [](double x) { return x + 3; }, -2, 2);
  check_unary(
      "3 - x", [](const Tensor& x) { return 3 - x; }, [](double x) { return 3 - x; }, -2, 2);
  check_unary(
      "x * 3", [](const Tensor& x) { return 3 * x; }, [](double x) { return 3 * x; }, -2, 2);
  check_unary(
      "x / 4", [](const Tensor& x) { return x / 4; }, [](double x) { return x / 4; }, -2, 2);
  check_unary(
      "3 / x", [](const Tensor& x) { return 3 / x; }, [](double x) { return 3 / x; }, 0.5, 2);
  for (const double p : {-1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0})
    check_unary(
        "pow", [p](const Tensor& x) { return pow(x, p); }, [p](double x) { return std::pow(x, p); }, 0.5, 2);
  check_unary(
      "pow of a negative", [](const Tensor& x) { return pow(x, 3); }, [](double x) { return x * x * x; }, -2,
      -0.5);
}

TEST_CASE("where chooses, and sends each gradient to the side it chose") {
  const std::vector<std::array<Shape, 3>> shapes{{{{1}, {1}, {1}}},
                                                 {{{3, 5}, {3, 5}, {3, 5}}},
                                                 {{{5}, {3, 1}, {}}},
                                                 {{{2, 3, 1}, {3, 5}, {1, 5}}},
                                                 {{{0}, {1}, {0}}}};
  for (const auto& [c, a, b] : shapes)
    check_op("where", [](const auto& x) { return where(x[0], x[1], x[2]); },
             reference([](const auto& v) { return v[0] != 0 ? v[1] : v[2]; }),
             {gt(values(c, -1, 1, 3), 0), values(a, -1, 1, 1), values(b, -1, 1, 2)});
  const Tensor c = tensor({1, 0}, {.dtype = boolean});
  const Tensor picked = where(c, tensor({1, 2}, {.dtype = u8}), tensor({3, 4}, {.dtype = u8}));
  CHECK(picked.dtype() == u8);
  CHECK(picked.to_vector<float>() == Floats{1, 4});
  // A discarded NaN reaches neither the value nor the gradient.
  Tensor x = tensor({1, NAN}).requires_grad_();
  const Tensor y = where(c, x, zeros({2}));
  y.backward(ones({2}));
  CHECK(y.to_vector<float>() == Floats{1, 0});
  CHECK(x.grad().to_vector<float>() == Floats{1, 0});
}

TEST_CASE("comparisons hold for every dtype, and NaN equals nothing") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, f16, i32}) {
    INFO(dtype);
    const Tensor a = tensor({1, 2, 3}, {.dtype = dtype}), b = tensor({2}, {.dtype = dtype});
    CHECK(eq(a, b).dtype() == boolean);
    CHECK(eq(a, b).to_vector<bool>() == Bools{false, true, false});
    CHECK(ne(a, b).to_vector<bool>() == Bools{true, false, true});
    CHECK(lt(a, b).to_vector<bool>() == Bools{true, false, false});
    CHECK(le(a, b).to_vector<bool>() == Bools{true, true, false});
    CHECK(gt(a, b).to_vector<bool>() == Bools{false, false, true});
    CHECK(ge(a, b).to_vector<bool>() == Bools{false, true, true});
    CHECK(eq(a, 2).to_vector<bool>() == Bools{false, true, false});
    CHECK(ne(a, 2).to_vector<bool>() == Bools{true, false, true});
    CHECK(lt(a, 2.5).to_vector<bool>() == Bools{true, true, false});
    CHECK(gt(a, -1).to_vector<bool>() == Bools{true, true, true});
    CHECK(le(a, 300).to_vector<bool>() == Bools{true, true, true});
    CHECK(ge(a, 2).to_vector<bool>() == Bools{false, true, true});
  }
  const Tensor flags = tensor({0, 1}, {.dtype = boolean});
  CHECK(ne(flags, tensor({1, 1}, {.dtype = boolean})).to_vector<bool>() == Bools{true, false});
  CHECK(lt(flags, 0.5).to_vector<bool>() == Bools{true, false});
  const Tensor x = tensor({NAN, INFINITY});
  CHECK(eq(x, x).to_vector<bool>() == Bools{false, true});
  CHECK(ne(x, x).to_vector<bool>() == Bools{true, false});
  CHECK(le(x, x).to_vector<bool>() == Bools{false, true});
  CHECK(eq(tensor({0.1}), 0.1).item<bool>());  // the number is rounded to f32 first
  CHECK_FALSE(eq(tensor({1}).requires_grad_(), 1).requires_grad());
}

TEST_CASE("i64 arithmetic is exact, wraps, and takes whole numbers") {
  const std::int64_t big = (std::int64_t{1} << 62) + 1;
  Tensor a = empty({2}, {.dtype = i64});
  a.data<std::int64_t>()[0] = big;
  a.data<std::int64_t>()[1] = -3;
  using Ints = std::vector<std::int64_t>;
  CHECK(add(a, tensor({1, 1}, {.dtype = i64})).to_vector<std::int64_t>() == Ints{big + 1, -2});
  CHECK(sub(a, tensor({1}, {.dtype = i64})).to_vector<std::int64_t>() == Ints{big - 1, -4});
  CHECK(mul(a, a).to_vector<std::int64_t>() == Ints{std::int64_t{1} << 63 | 1, 9});
  CHECK((a + a).to_vector<std::int64_t>()[0] == std::numeric_limits<std::int64_t>::min() + 2);
  CHECK((a + 2).to_vector<std::int64_t>() == Ints{big + 2, -1});
  CHECK((a * -1).to_vector<std::int64_t>() == Ints{-big, 3});
  CHECK_THROWS_WITH(a * 0.5, Catch::Contains("mul: expects a whole number beside i64, got 0.5"));
  CHECK_THROWS_WITH(div(a, a), Catch::Contains("div: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(neg(a), Catch::Contains("neg: expects f32, f64 or bf16, got i64"));
}

TEST_CASE("numbers keep the dtype") {
  CHECK((tensor({1}) + 1e-3).dtype() == f32);
  CHECK((tensor({1}, {.dtype = f64}) * 0.1).dtype() == f64);
  CHECK((tensor({1}, {.dtype = f64}) * 0.1).item<double>() == 0.1);
}

TEST_CASE("pow at zero") {
  auto gradients = [](double base, double exponent) {
    Tensor a = tensor({base}).requires_grad_(), b = tensor({exponent}).requires_grad_();
    pow(a, b).backward();
    return Floats{a.grad().item(), b.grad().item()};
  };
  CHECK(gradients(0, 2) == Floats{0, 0});
  CHECK(gradients(0, 1) == Floats{1, 0});
  CHECK(gradients(0, 0) == Floats{0, 0});
  CHECK(gradients(3, 0)[0] == 0);
  for (const auto& [p, expected] :
       std::vector<std::pair<double, float>>{{0, 0}, {1, 1}, {2, 0}, {3, 0}, {0.5, INFINITY}}) {
    Tensor x = tensor({0}).requires_grad_();
    const Tensor y = pow(x, p);
    y.backward();
    CHECK(y.item() == (p == 0 ? 1 : 0));
    CHECK(x.grad().item() == expected);
  }
}

TEST_CASE("kinks, ties and NaN") {
  auto gradient = [](const std::function<Tensor(const Tensor&)>& f, const std::vector<double>& at) {
    Tensor x = tensor(at).requires_grad_();
    f(x).backward(ones(x.shape()));
    return x.grad().to_vector<float>();
  };
  CHECK(gradient([](const Tensor& x) { return abs(x); }, {-1, 0, 1}) == Floats{-1, 0, 1});
  CHECK(gradient([](const Tensor& x) { return clamp(x, -1, 1); }, {-2, -1, 0, 1, 2}) ==
        Floats{0, 1, 1, 1, 0});
  CHECK(gradient(
            [](const Tensor& x) {
              return maximum(x, tensor({1, 1, 1}));
            },
            {0, 1, 2}) == Floats{0, 0.5, 1});
  CHECK(gradient(
            [](const Tensor& x) {
              return minimum(tensor({1, 1, 1}), x);
            },
            {0, 1, 2}) == Floats{1, 0.5, 0});
  for (const auto op : {maximum, minimum})
    for (const auto& [a, b] : std::vector<std::pair<double, double>>{{NAN, 1}, {1, NAN}})
      CHECK(std::isnan(op(tensor({a}), tensor({b})).item()));
  CHECK(std::isnan(clamp(tensor({NAN}), 0, 1).item()));
  CHECK(std::isnan(exp(tensor({NAN})).item()));
}

TEST_CASE("exp over the whole range of float") {
  const std::int64_t n = 20011;
  Tensor x = empty({n});
  for (std::int64_t i = 0; i < n; ++i) x.data<float>()[i] = -105 + 195.0f * static_cast<float>(i) / (n - 1);
  const auto y = exp(x).to_vector<float>();
  double worst = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double expected = std::exp(static_cast<double>(x.data<float>()[i]));
    if (expected > std::numeric_limits<float>::max()) {
      CHECK(y[static_cast<std::size_t>(i)] == std::numeric_limits<float>::infinity());
    } else {
      const double spacing = std::max(expected * 0x1p-23, 0x1p-149);
      worst = std::max(worst, std::abs(y[static_cast<std::size_t>(i)] - expected) / spacing);
    }
  }
  CHECK(worst <= 2);
  CHECK(exp(tensor({0, INFINITY, -INFINITY, 1e4, -1e4})).to_vector<float>() ==
        Floats{1, INFINITY, 0, INFINITY, 0});
}

TEST_CASE("long broadcasts, in blocks that end anywhere, match the reference") {
  const std::vector<std::pair<Shape, Shape>> pairs{
      {{701, 97}, {97}}, {{701, 97}, {701, 1}}, {{7, 101, 97}, {7, 1, 97}}, {{61, 1201}, {1201}},
      {{1}, {70001}},    {{70001}, {70001}},    {{5, 1, 331}, {47, 1}},     {{61, 1, 13}, {61, 17, 13}}};
  for (const auto& [sa, sb] : pairs) {
    INFO(sa << " and " << sb);
    const Tensor a = values(sa, -1, 1, 1), b = values(sb, -1, 1, 2);
    for (const bool swapped : {false, true}) {
      const std::vector<Tensor> in{swapped ? b : a, swapped ? a : b};
      const Tensor expected = reference([](const auto& v) { return v[0] - v[1]; })(in);
      CHECK(test::difference(sub(in[0], in[1]), expected) <= 1e-6);
      CHECK(same_for_any_thread_count([&] { return sub(in[0], in[1]); }));
    }
  }
  // Two inputs that repeat with different periods.
  const Tensor c = gt(values({3, 1, 5}, -1, 1), 0), a = values({2, 1, 1, 1}, -1, 1),
               b = values({401, 1}, -1, 1);
  const Tensor expected = reference([](const auto& v) { return v[0] != 0 ? v[1] : v[2]; })({c, a, b});
  CHECK(test::difference(where(c, a, b), expected) <= 1e-6);
}

TEST_CASE("sum_to undoes a broadcast") {
  for (const auto& [from, to] : std::vector<std::pair<Shape, Shape>>{{{2, 3, 5}, {5}},
                                                                     {{2, 3, 5}, {3, 1}},
                                                                     {{2, 3, 5}, {}},
                                                                     {{2, 3, 5}, {2, 1, 5}},
                                                                     {{2, 3, 5}, {1, 3, 1}},
                                                                     {{1, 1, 3}, {3}},
                                                                     {{2, 3}, {2, 3}},
                                                                     {{0, 3}, {1, 3}}})
    check_op(
        "sum_to", [&to = to](const auto& x) { return sum_to(x[0], to) * 1; },
        [&to = to](const auto& x) {
          // Each element of x adds to the one of `to` that broadcasting would have read.
          Tensor index = arange(to.numel(), {.dtype = f64}).reshape(to);
          const auto target = add(index, zeros_like(x[0])).template to_vector<double>();
          const auto in = x[0].template to_vector<double>();
          std::vector<double> out(static_cast<std::size_t>(to.numel()));
          for (std::size_t i = 0; i < in.size(); ++i) out[static_cast<std::size_t>(target[i])] += in[i];
          return tensor(out, to, {.dtype = f64});
        },
        {values(from, -1, 1)});
  CHECK_THROWS_WITH(sum_to(zeros({2, 3}), {2}),
                    Catch::Contains("sum_to: expects a shape that broadcasts to [2, 3], got [2]"));
  CHECK_THROWS_AS(sum_to(zeros({3}), {2, 3}), Error);
  const Tensor bytes = sum_to(full({3}, 200, {.dtype = u8}), {1}),
               hits = sum_to(ones({3}, {.dtype = boolean}), {});
  CHECK((bytes.dtype() == i64 && bytes.item<std::int64_t>() == 600));
  CHECK((hits.dtype() == i64 && hits.item<std::int64_t>() == 3));
}

TEST_CASE("misuse is an error that names the operation") {
  CHECK_THROWS_WITH(zeros({2, 3}) + zeros({2}),
                    Catch::Contains("add: shapes [2, 3] and [2] do not broadcast"));
  CHECK_THROWS_WITH(mul(zeros({1}), zeros({1}, {.dtype = f64})),
                    Catch::Contains("mul: expects one dtype, got f32 and f64"));
  CHECK_THROWS_WITH(exp(zeros({1}, {.dtype = u8})), Catch::Contains("exp: expects f32, f64 or bf16, got u8"));
  CHECK_THROWS_WITH(where(zeros({1}), zeros({1}), zeros({1})),
                    Catch::Contains("where: expects a bool condition"));
  CHECK_THROWS_WITH(clamp(zeros({1}), 1, 0), Catch::Contains("clamp: expects low <= high, got 1 and 0"));
  CHECK_THROWS_WITH(lt(zeros({2}), zeros({3})), Catch::Contains("lt: shapes"));
  CHECK_THROWS_AS(add(Tensor(), zeros({1})), Error);
}

TEST_CASE("whole numbers are negated and subtracted from a number") {
  const Tensor x = arange(3);
  CHECK((10 - x).to_vector<std::int64_t>() == std::vector<std::int64_t>{10, 9, 8});
  CHECK((-x).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, -1, -2});
}

TEST_CASE("bf16 elementwise operations", "[cpu]") {
  const std::vector<Bf16Input> one{{{3, 5, 67}}}, two{{{3, 5, 67}}, {{5, 67}}};
  check_bf16(
      "add", [](const auto& in) { return add(in[0], in[1]); }, two);
  check_bf16(
      "sub", [](const auto& in) { return sub(in[0], in[1]); }, two);
  check_bf16(
      "mul", [](const auto& in) { return mul(in[0], in[1]); }, two, 4e-3);
  check_bf16(
      "maximum", [](const auto& in) { return maximum(in[0], in[1]); }, two, 4e-3);
  check_bf16(
      "mul by a number", [](const auto& in) { return mul(in[0], 1.7); }, one);
  check_bf16(
      "clamp", [](const auto& in) { return clamp(in[0], -0.5, 0.5); }, one);
}
