// Rounding, remainders, interpolation, and truth values.
#include <limits>

#include "by_element.h"

using namespace karyon;
using namespace karyon::test;

namespace {

using Floats = std::vector<float>;
using Bools = std::vector<bool>;

// No whole numbers and no halves, where rounding jumps.
Tensor between_steps(const Shape& shape) {
  const Tensor whole = round(values(shape, -9, 9, 3));
  return whole +
         where(gt(values(shape, -1, 1, 4), 0), values(shape, 0.1, 0.4, 5), values(shape, 0.6, 0.9, 6));
}

Floats first_five(const Tensor& x) {
  const Floats all = x.to_vector<float>();
  return Floats(all.begin(), all.begin() + 5);
}

double modulo(double a, double b) { return a - b * std::floor(a / b); }

}  // namespace

TEST_CASE("rounding, with gradients of 0") {
  const std::vector<std::pair<Tensor (*)(const Tensor&), double (*)(double)>> ops{
      {karyon::floor, std::floor},
      {karyon::ceil, std::ceil},
      {karyon::round, std::nearbyint},
      {karyon::trunc, std::trunc},
      {karyon::sign, [](double x) { return x > 0   ? 1.0
                                           : x < 0 ? -1.0
                                                   : 0.0; }}};
  for (const auto& [op, f] : ops)
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{13}, Shape{3, 5, 7}, Shape{0, 2}})
      check_op("rounding", [rounding = op](const auto& x) { return rounding(x[0]); },
               reference([formula = f](const auto& v) { return formula(v[0]); }), {between_steps(shape)});
}

TEST_CASE("rounding at steps and beyond what has digits after the point") {
  for (const DType dtype : {f32, f64, bf16}) {
    const TensorOptions o{.dtype = dtype, .device = dtype == f64 ? Device::cpu() : device()};
    const Tensor x = tensor({-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, 1e30, -INFINITY}, o);
    CHECK(round(x).dtype() == dtype);
    const Floats large{x.to_vector<float>()[7], -INFINITY};
    auto expected = [&](Floats all) {
      all.insert(all.end(), large.begin(), large.end());
      return all;
    };
    CHECK(round(x).to_vector<float>() == expected({-2, -2, 0, 0, 0, 2, 2}));
    CHECK(floor(x).to_vector<float>() == expected({-3, -2, -1, 0, 0, 1, 2}));
    CHECK(ceil(x).to_vector<float>() == expected({-2, -1, 0, 0, 1, 2, 3}));
    CHECK(trunc(x).to_vector<float>() == expected({-2, -1, 0, 0, 0, 1, 2}));
    CHECK(sign(x).to_vector<float>() == Floats{-1, -1, -1, 0, 1, 1, 1, 1, -1});
  }
  for (const auto op : {karyon::floor, karyon::ceil, karyon::round, karyon::trunc})
    CHECK(std::isnan(op(tensor({NAN})).item()));
  CHECK(sign(tensor({NAN})).item() == 0);
  CHECK_THROWS_WITH(floor(zeros({1}, {.dtype = i64})), "floor: expects f32, f64 or bf16, got i64");
}

TEST_CASE("remainder and fmod broadcast, and so do their gradients") {
  for (const auto& [sa, sb] : shape_pairs) {
    // Quotients that are no whole numbers, of both signs.
    const Tensor b = where(gt(values(sb, -1, 1, 2), 0), values(sb, 1.9, 2.1, 3), values(sb, -2.1, -1.9, 4));
    const Tensor a = where(gt(values(sa, -1, 1, 5), 0), values(sa, 4.8, 5.2, 6), values(sa, -5.2, -4.8, 7));
    check_op("remainder", [](const auto& x) { return remainder(x[0], x[1]); },
             reference([](const auto& v) { return modulo(v[0], v[1]); }), {a, b},
             {.bf16_forward_tolerance = 0.02});
    check_op("fmod", [](const auto& x) { return karyon::fmod(x[0], x[1]); },
             reference([](const auto& v) { return std::fmod(v[0], v[1]); }), {a, b},
             {.bf16_forward_tolerance = 0.02});
  }
  for (const double divisor : {2.0, -1.5}) {
    check_unary(
        "remainder by a number", [=](const Tensor& x) { return remainder(x, divisor); },
        [=](double x) { return modulo(x, divisor); }, 0.2, 1.2);
    check_unary(
        "fmod by a number", [=](const Tensor& x) { return karyon::fmod(x, divisor); },
        [=](double x) { return std::fmod(x, divisor); }, -1.2, -0.2);
  }
}

TEST_CASE("remainders of zero and infinity") {
  const Tensor a = tensor({5, -5, 5, -5, 0, 1, INFINITY}), b = tensor({3, 3, -3, -3, -3, 0, 2});
  CHECK(first_five(remainder(a, b)) == Floats{2, 1, -1, -2, 0});
  CHECK(first_five(karyon::fmod(a, b)) == Floats{2, -2, 2, -2, 0});
  CHECK(remainder(tensor({5.0, 5.0}), tensor({INFINITY, -INFINITY})).to_vector<float>() ==
        Floats{5, -INFINITY});
  CHECK(isnan(remainder(a, b)).to_vector<bool>()[5]);
  CHECK(isnan(karyon::fmod(a, b)).to_vector<bool>()[6]);
  CHECK_THROWS_WITH(remainder(arange(3), 2), "remainder: expects f32, f64 or bf16, got i64");
}

TEST_CASE("atan2 in all quadrants") {
  for (const auto& [sa, sb] : shape_pairs) {
    const auto signed_values = [](const Shape& shape, std::uint64_t seed) {
      return where(gt(values(shape, -1, 1, seed), 0), values(shape, 0.3, 2, seed + 1),
                   values(shape, -2, -0.3, seed + 2));
    };
    check_op("atan2", [](const auto& x) { return karyon::atan2(x[0], x[1]); },
             reference([](const auto& v) { return std::atan2(v[0], v[1]); }),
             {signed_values(sa, 1), signed_values(sb, 11)});
  }
  Tensor a = zeros({1}).requires_grad_(), b = zeros({1}).requires_grad_();
  karyon::atan2(a, b).backward();
  CHECK((a.grad().item() == 0 && b.grad().item() == 0));
}

TEST_CASE("lerp by a number and by a tensor") {
  const auto f = [](double a, double b, double w) { return a + w * (b - a); };
  for (const auto& [sa, sb] : shape_pairs) {
    for (const double w : {0.0, 0.3, 0.75, 1.0, -1.5})
      check_op("lerp by a number", [=](const auto& x) { return karyon::lerp(x[0], x[1], w); },
               reference([=](const auto& v) { return f(v[0], v[1], w); }),
               {values(sa, -2, 2, 1), values(sb, -2, 2, 2)}, {.bf16_gradient_tolerance = 0.02});
    for (const Shape& sw : {Shape{}, sa, sb})
      check_op("lerp by a tensor", [](const auto& x) { return karyon::lerp(x[0], x[1], x[2]); },
               reference([=](const auto& v) { return f(v[0], v[1], v[2]); }),
               {values(sa, -2, 2, 1), values(sb, -2, 2, 2), values(sw, -1, 2, 3)},
               {.bf16_gradient_tolerance = 0.02});
  }
  const Tensor x = tensor({1, 2}), narrow_x = x.to(bf16);
  CHECK(karyon::lerp(narrow_x, narrow_x, 0.5).dtype() == bf16);
  CHECK(karyon::lerp(narrow_x, x, 0.5).dtype() == f32);
  CHECK(karyon::lerp(narrow_x, narrow_x, x).dtype() == f32);
  CHECK_THROWS_WITH(karyon::lerp(x, x.to(f64), 0.5), "lerp: expects one dtype, got f32 and f64");
  CHECK_THROWS_WITH(karyon::lerp(x, zeros({3}), 0.5),
                    Catch::Contains("lerp: shapes [2] and [3] do not broadcast"));
}

TEST_CASE("square and reciprocal") {
  check_unary(
      "square", square, [](double x) { return x * x; }, -2, 2);
  check_unary(
      "reciprocal", reciprocal, [](double x) { return 1 / x; }, 0.5, 2);
  CHECK(square(tensor({3}).to(bf16)).dtype() == bf16);
  CHECK(reciprocal(tensor({3}).to(bf16)).dtype() == f32);
}

TEST_CASE("truth values of any dtype, which broadcast") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const TensorOptions o{.dtype = dtype, .device = dtype == f64 ? Device::cpu() : device()};
    const Tensor a = tensor({0, 0, 1, 1}, o), b = tensor({0, 1, 0, 1}, {.dtype = u8, .device = o.device});
    CHECK(logical_and(a, b).to_vector<bool>() == Bools{false, false, false, true});
    CHECK(logical_or(a, b).to_vector<bool>() == Bools{false, true, true, true});
    CHECK(logical_xor(a, b).to_vector<bool>() == Bools{false, true, true, false});
    CHECK(logical_not(a).to_vector<bool>() == Bools{true, true, false, false});
    CHECK(logical_not(a).dtype() == boolean);
    CHECK(logical_and(a.reshape({4, 1}), a).shape() == Shape{4, 4});
    CHECK_FALSE(isnan(a).to_vector<bool>()[2]);
    CHECK_FALSE(isinf(a).to_vector<bool>()[2]);
    CHECK(isfinite(a).to_vector<bool>() == Bools(4, true));
  }
  const Tensor ends = tensor({NAN, INFINITY, -INFINITY, 0, 2}).requires_grad_();
  CHECK(isnan(ends).to_vector<bool>() == Bools{true, false, false, false, false});
  CHECK(isinf(ends).to_vector<bool>() == Bools{false, true, true, false, false});
  CHECK(isfinite(ends).to_vector<bool>() == Bools{false, false, false, true, true});
  CHECK(logical_not(ends).to_vector<bool>() == Bools{false, false, false, true, false});
  CHECK_FALSE(isfinite(ends).requires_grad());
  CHECK_THROWS_WITH(logical_and(zeros({2}), zeros({3})), Catch::Contains("do not broadcast"));
}
