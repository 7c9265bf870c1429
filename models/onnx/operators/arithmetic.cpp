#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/combine.h>

// Operations on pairs of elements, with broadcasting.
namespace karyon::onnx {
namespace {

/// A pair of whole numbers by a function of C++; the result keeps the bits of its type.
template <class F>
Tensor whole_pairs(const Tensor& a, const Tensor& b, const F& f) {
  const Shape shape = broadcast_shapes(a.shape(), b.shape(), "onnx");
  const std::vector<std::int64_t> left = expand(a, shape).to_vector<std::int64_t>();
  std::vector<std::int64_t> right = expand(b, shape).to_vector<std::int64_t>();
  for (std::size_t i = 0; i < right.size(); ++i) right[i] = f(left[i], right[i]);
  return tensor(right, shape, {.dtype = i64, .device = a.device()});
}

std::int64_t quotient(std::int64_t a, std::int64_t b) {
  check(b != 0, "a whole number is divided by 0");
  return b == -1 ? static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a)) : a / b;
}
std::int64_t remainder_of_c(std::int64_t a, std::int64_t b) {
  check(b != 0, "a whole number is divided by 0");
  return b == -1 ? 0 : a % b;
}
std::int64_t remainder_of_python(std::int64_t a, std::int64_t b) {
  const std::int64_t r = remainder_of_c(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

Tensor divided(const Tensor& a, const Tensor& b) {
  return is_floating(a.dtype()) ? div(a, b) : whole_pairs(a, b, quotient);
}
Tensor larger(const Tensor& a, const Tensor& b) {
  return is_floating(a.dtype()) ? maximum(a, b) : where(ge(a, b), a, b);
}
Tensor smaller(const Tensor& a, const Tensor& b) {
  return is_floating(a.dtype()) ? minimum(a, b) : where(le(a, b), a, b);
}

/// Before operator set 7, the second input had its place in the first by an attribute.
Value placed(const Call& call) {
  Value b = call.value(1);
  if (call.node.integer("broadcast", 0) == 0 || !call.node.has("axis")) return b;
  b.tensor = call.x(1);
  b.channels_last = false;
  const int dims = call.x(0).dim(), axis = normalize_dim(call.axis("axis", 0), dims, "onnx");
  while (b.tensor.dim() < dims - axis) b.tensor = unsqueeze(b.tensor, -1);
  return b;
}

/// Whole results keep the bits of their type: those of uint8 are from 0 to 255.
Value kept(Value y, int type) {
  if (y.tensor.dtype() == i64 && is_whole(type) && type != int64) y.tensor = converted(y.tensor, type);
  return y;
}

template <Tensor (*f)(const Tensor&, const Tensor&)>
Values binary(const Call& call) {
  return {kept(combined(call.value(0), placed(call), f), call.type(0))};
}
template <Tensor (*f)(const Tensor&, const Tensor&)>
Values folded(const Call& call) {
  Value all = call.value(0);
  for (int i = 1; i < call.count(); ++i) all = combined(all, call.value(i), f);
  return {kept(std::move(all), call.type(0))};
}
Values mean_(const Call& call) {
  Value all = folded<add>(call)[0];
  all.tensor = mul(all.tensor, 1.0 / call.count());
  return {all};
}

Values power(const Call& call) {
  Value a = call.value(0), b = call.value(1);
  const bool whole = !is_floating(call.raw(0).dtype());
  if (whole) a.tensor = a.tensor.to(f64);
  b.tensor = call.raw(1).to(a.tensor.dtype());
  Value y = b.tensor.numel() == 1 && b.tensor.dim() <= a.tensor.dim()
                ? like(call, 0, pow(a.tensor, b.tensor.item<double>()))
                : combined(a, b, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(pow));
  if (whole) y.tensor = converted(y.tensor, call.type(0));
  return {y};
}

Values modulo(const Call& call) {
  const bool of_c = call.node.integer("fmod", 0) != 0;
  const auto f = [&](const Tensor& a, const Tensor& b) {
    if (is_floating(a.dtype())) return of_c ? fmod(a, b) : remainder(a, b);
    return whole_pairs(a, b, of_c ? remainder_of_c : remainder_of_python);
  };
  return {combined(call.value(0), call.value(1), f)};
}

Values bit_shift(const Call& call) {
  const bool left = call.node.text_of("direction", "") == "LEFT", wide = call.type(0) == uint64;
  // Right shifts of signed numbers keep the sign; a shift that is out of range moves all bits out.
  const auto shift = [&](std::int64_t a, std::int64_t n) -> std::int64_t {
    const bool out = n < 0 || n > 63;
    const auto bits = static_cast<std::uint64_t>(a);
    if (left || wide) return out ? 0 : static_cast<std::int64_t>(left ? bits << n : bits >> n);
    return a >> (out ? 63 : n);
  };
  return {converted(whole_pairs(call.x(0), call.x(1), shift), call.type(0))};
}
Values bitwise_and(const Call& call) {
  return {whole_pairs(call.x(0), call.x(1), [](std::int64_t a, std::int64_t b) { return a & b; })};
}
Values bitwise_or(const Call& call) {
  return {whole_pairs(call.x(0), call.x(1), [](std::int64_t a, std::int64_t b) { return a | b; })};
}
Values bitwise_xor(const Call& call) {
  return {whole_pairs(call.x(0), call.x(1), [](std::int64_t a, std::int64_t b) { return a ^ b; })};
}
Values bitwise_not(const Call& call) { return {converted(add(mul(call.x(0), -1.0), -1.0), call.type(0))}; }

template <Tensor (*f)(const Tensor&, const Tensor&)>
Values truth(const Call& call) {
  return {combined(call.value(0), placed(call), f)};
}
Values logical_not_(const Call& call) { return {like(call, 0, logical_not(call.raw(0)))}; }
Values is_nan(const Call& call) { return {like(call, 0, isnan(call.raw(0)))}; }
Values is_inf(const Call& call) {
  const Tensor x = call.raw(0);
  const bool below = call.node.integer("detect_negative", 1) != 0,
             above = call.node.integer("detect_positive", 1) != 0;
  Tensor y = isinf(x);
  if (!below) y = logical_and(y, gt(x, 0.0));
  if (!above) y = logical_and(y, lt(x, 0.0));
  return {like(call, 0, y)};
}
Values where_(const Call& call) {
  const Tensor a = call.x(1), b = call.x(2);
  Value y(where(call.x(0), a, b), call.type(1));
  return {y};
}

using Compare = Tensor (*)(const Tensor&, const Tensor&);

}  // namespace

std::vector<Operator> arithmetic_operators() {
  return {
      {"Add", binary<add>},
      {"Sub", binary<sub>},
      {"Mul", binary<mul>},
      {"Div", binary<divided>},
      {"Pow", power},
      {"Mod", modulo},
      {"Max", folded<larger>},
      {"Min", folded<smaller>},
      {"Sum", folded<add>},
      {"Mean", mean_},
      {"BitShift", bit_shift},
      {"BitwiseAnd", bitwise_and},
      {"BitwiseOr", bitwise_or},
      {"BitwiseXor", bitwise_xor},
      {"BitwiseNot", bitwise_not},
  };
}

std::vector<Operator> logic_operators() {
  return {
      {"And", truth<logical_and>},
      {"Or", truth<logical_or>},
      {"Xor", truth<logical_xor>},
      {"Not", logical_not_},
      {"IsNaN", is_nan},
      {"IsInf", is_inf},
      {"Where", where_},
      {"Equal", truth<static_cast<Compare>(eq)>},
      {"Less", truth<static_cast<Compare>(lt)>},
      {"LessOrEqual", truth<static_cast<Compare>(le)>},
      {"Greater", truth<static_cast<Compare>(gt)>},
      {"GreaterOrEqual", truth<static_cast<Compare>(ge)>},
  };
}

}  // namespace karyon::onnx
