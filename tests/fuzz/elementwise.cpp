// Elementwise operations over any two shapes and dtypes against their formulas.
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>

#include "tensors.h"

namespace {

using namespace fuzz;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Binary {
  const char* name;
  Tensor (*op)(const Tensor&, const Tensor&);
  double (*formula)(double, double);
  bool smooth;
};

constexpr std::array<Binary, 13> binaries{
    {{"add", karyon::add, [](double a, double b) { return a + b; }, true},
     {"sub", karyon::sub, [](double a, double b) { return a - b; }, true},
     {"mul", karyon::mul, [](double a, double b) { return a * b; }, true},
     {"div", karyon::div, [](double a, double b) { return a / b; }, false},
     {"pow", karyon::pow, [](double a, double b) { return std::pow(a, b); }, false},
     {"maximum", karyon::maximum,
      [](double a, double b) { return std::isnan(a) || a > b ? a
                                      : std::isnan(b)        ? b
                                                             : b; }, false},
     {"minimum", karyon::minimum,
      [](double a, double b) { return std::isnan(a) || a < b ? a
                                      : std::isnan(b)        ? b
                                                             : b; }, false},
     {"eq", karyon::eq, [](double a, double b) { return double(a == b); }, false},
     {"ne", karyon::ne, [](double a, double b) { return double(a != b); }, false},
     {"lt", karyon::lt, [](double a, double b) { return double(a < b); }, false},
     {"le", karyon::le, [](double a, double b) { return double(a <= b); }, false},
     {"gt", karyon::gt, [](double a, double b) { return double(a > b); }, false},
     {"ge", karyon::ge, [](double a, double b) { return double(a >= b); }, false}}};

struct Unary {
  const char* name;
  Tensor (*op)(const Tensor&);
  double (*formula)(double);
  double tolerance;  // of f32, relative
};

constexpr std::array<Unary, 11> unaries{
    {{"neg", karyon::neg, [](double x) { return -x; }, 0},
     {"exp", karyon::exp, [](double x) { return std::exp(x); }, 1e-6},
     {"log", karyon::log, [](double x) { return std::log(x); }, 1e-6},
     {"sqrt", karyon::sqrt, [](double x) { return std::sqrt(x); }, 1e-6},
     {"abs", karyon::abs, [](double x) { return std::abs(x); }, 0},
     {"relu", karyon::relu, [](double x) { return std::isnan(x) ? x : std::max(x, 0.0); }, 0},
     {"sigmoid", karyon::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 1e-6},
     {"tanh", karyon::tanh, [](double x) { return std::tanh(x); }, 1e-6},
     {"silu", karyon::silu, [](double x) { return x == -infinity ? nan : x / (1 + std::exp(-x)); }, 4e-6},
     {"gelu", karyon::gelu,
      [](double x) { return x == -infinity ? nan : x * std::erfc(-x / std::sqrt(2.0)) / 2; }, 4e-6},
     {"leaky_relu", [](const Tensor& x) { return karyon::leaky_relu(x, 0.25); },
      [](double x) { return x > 0 ? x : 0.25 * x; }, 0}}};

/// Noise, with some special numbers in it if `special`.
Tensor any_values(ByteReader& in, const Shape& shape, DType dtype, bool special) {
  constexpr std::array<double, 12> specials{0.0,       -0.0, 1.0,  -1.0, nan, infinity,
                                            -infinity, 100,  -100, 0.5,  2.0, 1e-30};
  Tensor x = noise(shape, karyon::f64, in.byte());
  if (special)
    for (auto left = std::min<std::int64_t>(x.numel(), 8); left > 0; --left)
      x.data<double>()[in.between(0, std::min<std::int64_t>(x.numel() - 1, 255))] = in.one_of(specials);
  return x.to(dtype);
}

Shape partner(ByteReader& in, const Shape& shape) {
  Shape other;
  for (int d = in.whole(0, shape.dims()); d < shape.dims(); ++d)
    other.push_back(in.byte() % 3 == 0 ? 1 : in.byte() == 255 ? 3 : shape[d]);
  return other;
}

/// Whether the two differ by no more than rounding to a dtype, in relation to the value itself.
void expect_each_close(const char* what, const Tensor& got, const Shape& shape,
                       const std::vector<double>& want, double relative) {
  expect(got.shape() == shape, what, ": shape ", got.shape(), ", expected ", shape);
  const auto values = got.to_vector<double>();
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double a = values[i], b = want[i];
    const bool large =
        got.dtype() != karyon::f64 && std::abs(b) > 3e38 && std::abs(a) > 3e38 && (a > 0) == (b > 0);
    const bool close =
        a == b || (std::isnan(a) && std::isnan(b)) || large ||
        std::abs(a - b) <= relative * std::abs(b) + (got.dtype() == karyon::f64 ? 1e-300 : 1e-37);
    expect(close, what, ": element ", i, " of ", shape, " in ", got.dtype(), " is ", a, ", expected ", b);
  }
}

double relative(DType dtype, double of_f32) {
  return dtype == karyon::f64 ? 1e-12 : dtype == karyon::f32 ? std::max(of_f32, 2e-7) : 1.0 / 256;
}

void run_binary(ByteReader& in) {
  const Binary& binary = in.one_of(binaries);
  constexpr std::array dtypes{karyon::f32, karyon::f64, karyon::bf16,
                              karyon::i64, karyon::u8,  karyon::boolean};
  const DType dtype = in.one_of(dtypes);
  const DType second = in.byte() == 255 ? in.one_of(dtypes) : dtype;
  const bool special = in.flag() && karyon::is_floating(dtype) && karyon::is_floating(second);
  const Shape shape = any_shape(in, 0, 4, 9), other = partner(in, shape);
  Tensor a = any_values(in, shape, dtype, special), b = any_values(in, other, second, special);
  if (in.flag()) std::swap(a, b);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = binary.op(a, b); })) return;
  const Shape result = karyon::broadcast_shapes(a.shape(), b.shape(), "fuzz");
  const Values left(a), right(b);
  std::vector<double> want;
  for_each_place(result, [&](const auto& at) { want.push_back(binary.formula(left.at(at), right.at(at))); });
  expect_each_close(binary.name, y, result, want, relative(y.dtype(), 2e-6));
  if (binary.smooth && dtype == karyon::f64 && second == karyon::f64 && !special)
    check_gradient(binary.name, [&](const Tensors& t) { return binary.op(t[0], t[1]); }, {a, b});
}

void run_unary(ByteReader& in) {
  const Unary& unary = in.one_of(unaries);
  const DType dtype = in.one_of(floating);
  const bool special = in.flag();
  const Shape shape = in.flag() ? any_shape(in, 0, 4, 9) : Shape{in.between(0, 300)};
  const Tensor x = any_values(in, shape, dtype, special);
  const Tensor y = unary.op(x);
  std::vector<double> want;
  for (const double value : x.to_vector<double>()) want.push_back(unary.formula(value));
  if (special)  // what a limit is where the formula has none
    for (std::size_t i = 0; i < want.size(); ++i)
      if (std::isnan(want[i])) want[i] = y.to_vector<double>()[i];
  expect_each_close(unary.name, y, shape, want, relative(y.dtype(), unary.tolerance));
  const bool kink = std::ranges::any_of(x.to_vector<double>(), [](double v) { return std::abs(v) < 1e-4; });
  if (dtype == karyon::f64 && !special && !kink && unary.op != karyon::log && unary.op != karyon::sqrt)
    check_gradient(unary.name, [&](const Tensors& t) { return unary.op(t[0]); }, {x});
}

void run_where(ByteReader& in) {
  const Shape shape = any_shape(in, 0, 4, 7);
  const DType dtype = in.one_of(floating);
  const Tensor condition = any_values(in, partner(in, shape), karyon::f32, false),
               a = any_values(in, partner(in, shape), dtype, true), b = any_values(in, shape, dtype, true);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = karyon::where(karyon::gt(condition, 0.0), a, b); })) return;
  const Shape result = karyon::broadcast_shapes(
      karyon::broadcast_shapes(condition.shape(), a.shape(), "fuzz"), b.shape(), "fuzz");
  const Values chosen(condition), left(a), right(b);
  std::vector<double> want;
  for_each_place(result,
                 [&](const auto& at) { want.push_back(chosen.at(at) > 0 ? left.at(at) : right.at(at)); });
  expect_each_close("where", y, result, want, 0);
}

void run(Bytes input) {
  ByteReader in(input);
  switch (in.byte() % 5) {
    case 0:
    case 1: return run_binary(in);
    case 2:
    case 3: return run_unary(in);
    default: return run_where(in);
  }
}

Inputs seeds() { return noise_seeds(64, 40); }

const Register target{{"elementwise", run, seeds}};

}  // namespace
