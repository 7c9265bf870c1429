#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/trace.h>
#include <array>
#include <cmath>

namespace karyon {
namespace {

using kernels::Binary;
using kernels::Side;
using kernels::Unary;

void check_floating(const char* op, const Tensor& x) {
  check(is_floating(x.dtype()), op, ": expects f32, f64 or bf16, got ", x.dtype());
}
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  check(a.dtype() == b.dtype(), op, ": expects one dtype, got ", a.dtype(), " and ", b.dtype());
}

// ---- one tensor ----

Tensor apply(Unary op, const Tensor& x, double p = 0, double q = 0) {
  Tensor y = empty_like(x);
  kernels::unary(op, p, q, x, y);
  return y;
}

// The gradient of unary() from what it saved, x or y, as a composition.
Tensor unary_gradient(Unary op, double p, double q, const Tensor& dy, const Tensor& saved) {
  if (op == Unary::exp) return mul(dy, saved);
  if (op == Unary::log) return div(dy, saved);
  if (op == Unary::sqrt) return div(dy, mul(saved, 2));
  if (op == Unary::pow) return p == 0 ? zeros_like(dy) : mul(dy, mul(pow(saved, p - 1), p));
  Tensor slope = empty_like(dy);  // abs and clamp: constant in each piece
  kernels::unary_backward(op, p, q, ones_like(dy), saved, slope);
  return mul(dy, slope);
}

enum class Keep { input, output };
Tensor unary(const char* name, Unary op, Keep keep, const Tensor& x, double p = 0, double q = 0) {
  check_floating(name, x);
  if (x.dtype() == f16)
    return in_kernel_dtype(x, [&](const Tensor& wide) { return unary(name, op, keep, wide, p, q); });
  Tensor y = apply(op, x, p, q);
  y = record(name, y, {x}, twice_differentiable,
             [name, op, p, q, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
               const Tensor from = saved.get();
               Tensor dx = empty_like(dy);
               kernels::unary_backward(op, p, q, dy, from, dx);
               return std::vector{record_as(name, dx, {dy, from}, [op, p, q](const auto& in) {
                 return unary_gradient(op, p, q, in[0], in[1]);
               })};
             });
  return traced(y, [&] { return TraceOptions{{"p", p}, {"q", q}}; });
}

// Rounding: the gradient is 0.
Tensor steps(const char* name, Unary op, const Tensor& x) {
  check_floating(name, x);
  if (x.dtype() == f16) return in_kernel_dtype(x, [&](const Tensor& wide) { return steps(name, op, wide); });
  return record(name, apply(op, x), {x}, twice_differentiable,
                [](const Tensor& dy) { return std::vector{zeros_like(dy)}; });
}

void check_scalar(const char* op, const Tensor& x, double value) {
  if (!is_index(x.dtype())) return check_floating(op, x);
  check(std::abs(value) <= 0x1p53 && value == std::trunc(value), op, ": expects a whole number beside ",
        x.dtype(), ", got ", value);
}

// ---- two tensors ----

// f(a, b) of what converted() found, in the type that both are computed in, as PyTorch's type for the two.
template <class F>
Tensor convert_and(const Tensor& a, const Tensor& b, F f) {
  const Tensor y = f(widest(a), widest(b));
  return a.dtype() == b.dtype() ? y.to(a.dtype()) : y;
}

Tensor apply(Binary op, const Tensor& a, const Tensor& b, const Shape& shape, DType dtype) {
  Tensor y = empty(shape, {.dtype = dtype, .device = a.device()});
  kernels::binary(op, a, b, y);
  return y;
}
Tensor arithmetic(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  check_same_dtype(name, a, b);
  check(is_floating(a.dtype()) || (a.dtype() == i64 && op <= Binary::mul), name,
        op <= Binary::mul ? ": expects f32, f64, bf16 or i64, got " : ": expects f32, f64 or bf16, got ",
        a.dtype());
  return apply(op, a, b, broadcast_shapes(a.shape(), b.shape(), name), a.dtype());
}

Tensor zero_for(const Tensor& x) { return zeros({}, {.dtype = x.dtype(), .device = x.device()}); }

// The gradient of nonlinear() in one side, before it is summed to the side's shape, as a composition.
Tensor binary_gradient(Binary op, Side side, const Tensor& dy, const Tensor& a, const Tensor& b) {
  const bool in_a = side == Side::a;
  if (op == Binary::div) return in_a ? div(dy, b) : neg(div(mul(dy, a), mul(b, b)));
  if (op == Binary::pow && in_a) return mul(dy, where(eq(b, 0), zero_for(b), mul(b, pow(a, add(b, -1)))));
  if (op == Binary::pow) {
    const Tensor at_zero = logical_and(eq(a, 0), ge(b, 0));
    const Tensor base = where(at_zero, ones({}, {.dtype = a.dtype(), .device = a.device()}), a);
    return mul(dy, where(at_zero, zero_for(a), mul(pow(a, b), log(base))));
  }
  if (op == Binary::atan2) return div(mul(dy, in_a ? b : neg(a)), add(mul(a, a), mul(b, b)));
  Tensor slope = empty_like(dy);  // the others: constant in each piece
  kernels::binary_backward(op, side, ones_like(dy), a, b, slope);
  return mul(dy, slope);
}

// div, pow, maximum and others: both gradients need both inputs.
Tensor nonlinear(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype()) && converted(a, b))
    return convert_and(a, b, [&](const Tensor& u, const Tensor& v) { return nonlinear(name, op, u, v); });
  Tensor y = arithmetic(name, op, a, b);
  return record(name, y, {a, b}, twice_differentiable,
                [name, op, a_grad = a.requires_grad(), b_grad = b.requires_grad(), a = SavedTensor(a),
                 b = SavedTensor(b)](const Tensor& dy) {
                  auto side = [&](Side which, const Shape& shape) {
                    const Tensor from_a = a.get(), from_b = b.get();
                    Tensor dx = empty_like(dy);
                    kernels::binary_backward(op, which, dy, from_a, from_b, dx);
                    dx = record_as(name, dx, {dy, from_a, from_b}, [op, which](const auto& in) {
                      return binary_gradient(op, which, in[0], in[1], in[2]);
                    });
                    return sum_to(dx, shape);
                  };
                  return std::vector{a_grad ? side(Side::a, a.get().shape()) : Tensor(),
                                     b_grad ? side(Side::b, b.get().shape()) : Tensor()};
                });
}

Tensor compare(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  if (converted(a, b)) return compare(name, op, widest(a), widest(b));
  check_same_dtype(name, a, b);
  return apply(op, a, b, broadcast_shapes(a.shape(), b.shape(), name), boolean);
}

// A number as a tensor to broadcast beside x. Beside bf16 it is not rounded.
Tensor number_beside(const char* name, const Tensor& x, double value) {
  check_floating(name, x);
  return full({}, value, {.dtype = parameter_dtype(x.dtype()), .device = x.device()});
}

// What is not 0, NaN included.
Tensor truth(const Tensor& x) { return x.dtype() == boolean ? x : ne(x, 0); }
Tensor constant(const Tensor& x, double value) {
  return full({}, value, {.dtype = boolean, .device = x.device()});
}
// Whole numbers and truth values are finite.
Tensor same_for_all(const Tensor& x, double value) {
  return full(x.shape(), value, {.dtype = boolean, .device = x.device()});
}

// An integer against a number that its type cannot hold is compared in f64.
Tensor compare(const char* name, Binary op, const Tensor& x, double value) {
  if (x.dtype() == i32) return compare(name, op, as_i64(x), value);
  const double low = x.dtype() == i64 ? -0x1p53 : 0;
  const double high = x.dtype() == i64 ? 0x1p53 : x.dtype() == u8 ? 255 : 1;
  const bool held = is_floating(x.dtype()) || (value >= low && value <= high && value == std::trunc(value));
  const Tensor left = held ? x : x.to(f64);
  return compare(name, op, left, full({}, value, {.dtype = left.dtype(), .device = x.device()}));
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  if (converted(a, b)) return convert_and(a, b, [](const Tensor& u, const Tensor& v) { return add(u, v); });
  return record(
      "add", arithmetic("add", Binary::add, a, b), {a, b}, twice_differentiable,
      [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
       b_shape = b.shape()](const Tensor& dy) {
        return std::vector{a_grad ? sum_to(dy, a_shape) : Tensor(), b_grad ? sum_to(dy, b_shape) : Tensor()};
      });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  if (converted(a, b)) return convert_and(a, b, [](const Tensor& u, const Tensor& v) { return sub(u, v); });
  return record("sub", arithmetic("sub", Binary::sub, a, b), {a, b}, twice_differentiable,
                [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
                 b_shape = b.shape()](const Tensor& dy) {
                  return std::vector{a_grad ? sum_to(dy, a_shape) : Tensor(),
                                     b_grad ? neg(sum_to(dy, b_shape)) : Tensor()};
                });
}

// Each side's gradient needs only the other side. A side that no gradient needs is not kept.
Tensor mul(const Tensor& a, const Tensor& b) {
  if (converted(a, b)) return convert_and(a, b, [](const Tensor& u, const Tensor& v) { return mul(u, v); });
  const bool a_grad = a.requires_grad(), b_grad = b.requires_grad();
  return record("mul", arithmetic("mul", Binary::mul, a, b), {a, b}, twice_differentiable,
                [a_shape = a.shape(), b_shape = b.shape(), a = SavedTensor(b_grad ? a : Tensor()),
                 b = SavedTensor(a_grad ? b : Tensor())](const Tensor& dy) {
                  auto side = [&](const Tensor& other, const Shape& shape) {
                    return other.defined() ? sum_to(mul(dy, other), shape) : Tensor();
                  };
                  return std::vector{side(b.get(), a_shape), side(a.get(), b_shape)};
                });
}

Tensor div(const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype()) && converted(a, b))
    return convert_and(a, b, [](const Tensor& u, const Tensor& v) { return div(u, v); });
  if (b.requires_grad()) return nonlinear("div", Binary::div, a, b);
  return record("div", arithmetic("div", Binary::div, a, b), {a, b}, twice_differentiable,
                [shape = a.shape(), b = SavedTensor(b)](const Tensor& dy) {
                  return std::vector{sum_to(div(dy, b.get()), shape), Tensor()};
                });
}
Tensor pow(const Tensor& a, const Tensor& b) { return nonlinear("pow", Binary::pow, widen(a), widen(b)); }
Tensor maximum(const Tensor& a, const Tensor& b) { return nonlinear("maximum", Binary::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return nonlinear("minimum", Binary::minimum, a, b); }

Tensor add(const Tensor& x, double value) {
  check_scalar("add", x, value);
  if (x.dtype() != kernel_dtype(x.dtype()))
    return in_kernel_dtype(x, [value](const Tensor& wide) { return add(wide, value); });
  const Tensor y = record("add", apply(Unary::add, x, value), {x}, twice_differentiable,
                          [](const Tensor& dy) { return std::vector{dy}; });
  return traced(y, [&] { return TraceOptions{{"other", value}}; });
}
Tensor mul(const Tensor& x, double value) {
  check_scalar("mul", x, value);
  if (x.dtype() != kernel_dtype(x.dtype()))
    return in_kernel_dtype(x, [value](const Tensor& wide) { return mul(wide, value); });
  const Tensor y = record("mul", apply(Unary::mul, x, value), {x}, twice_differentiable,
                          [value](const Tensor& dy) { return std::vector{mul(dy, value)}; });
  return traced(y, [&] { return TraceOptions{{"other", value}}; });
}
Tensor pow(const Tensor& x, double exponent) {
  return unary("pow", Unary::pow, Keep::input, widen(x), exponent);
}

Tensor neg(const Tensor& x) {
  check_floating("neg", x);
  if (x.dtype() == f16) return in_kernel_dtype(x, [](const Tensor& wide) { return neg(wide); });
  return record("neg", apply(Unary::neg, x), {x}, twice_differentiable,
                [](const Tensor& dy) { return std::vector{neg(dy)}; });
}
Tensor exp(const Tensor& x) { return unary("exp", Unary::exp, Keep::output, widen(x)); }
Tensor log(const Tensor& x) { return unary("log", Unary::log, Keep::input, widen(x)); }
Tensor sqrt(const Tensor& x) { return unary("sqrt", Unary::sqrt, Keep::output, widen(x)); }
Tensor abs(const Tensor& x) { return unary("abs", Unary::abs, Keep::input, x); }
Tensor clamp(const Tensor& x, double low, double high) {
  check(low <= high, "clamp: expects low <= high, got ", low, " and ", high);
  return unary("clamp", Unary::clamp, Keep::input, x, low, high);
}

Tensor square(const Tensor& x) { return unary("square", Unary::pow, Keep::input, x, 2); }
Tensor reciprocal(const Tensor& x) { return unary("reciprocal", Unary::pow, Keep::input, widen(x), -1); }
Tensor floor(const Tensor& x) { return steps("floor", Unary::floor, x); }
Tensor ceil(const Tensor& x) { return steps("ceil", Unary::ceil, x); }
Tensor round(const Tensor& x) { return steps("round", Unary::round, x); }
Tensor trunc(const Tensor& x) { return steps("trunc", Unary::trunc, x); }
Tensor sign(const Tensor& x) { return steps("sign", Unary::sign, x); }

Tensor remainder(const Tensor& a, const Tensor& b) { return nonlinear("remainder", Binary::remainder, a, b); }
Tensor fmod(const Tensor& a, const Tensor& b) { return nonlinear("fmod", Binary::fmod, a, b); }
Tensor remainder(const Tensor& x, double divisor) {
  return remainder(x, number_beside("remainder", x, divisor)).to(x.dtype());
}
Tensor fmod(const Tensor& x, double divisor) {
  return fmod(x, number_beside("fmod", x, divisor)).to(x.dtype());
}
Tensor atan2(const Tensor& a, const Tensor& b) {
  return nonlinear("atan2", Binary::atan2, widen(a), widen(b));
}

Tensor lerp(const Tensor& start, const Tensor& end, const Tensor& weight) {
  check_floating("lerp", start);
  const bool differ = mixed(start, end) || mixed(start, weight) || mixed(end, weight);
  if (differ || start.dtype() == f16) {
    const Tensor y = lerp(widest(start), widest(end), widest(weight));
    return differ ? y : y.to(f16);
  }
  check_same_dtype("lerp", start, end);
  check_same_dtype("lerp", start, weight);
  const Shape shape =
      broadcast_shapes(broadcast_shapes(start.shape(), end.shape(), "lerp"), weight.shape(), "lerp");
  Tensor y = empty(shape, {.dtype = start.dtype(), .device = start.device()});
  kernels::lerp(start, end, weight, 0, y);
  return record(
      "lerp", y, {start, end, weight}, twice_differentiable,
      [wanted = std::array{start.requires_grad(), end.requires_grad(), weight.requires_grad()},
       start = SavedTensor(start), end = SavedTensor(end), weight = SavedTensor(weight)](const Tensor& dy) {
        const Tensor a = start.get(), b = end.get(), w = weight.get();
        Tensor da, db, dw;
        if (wanted[0]) da = sum_to(mul(dy, add(neg(w), 1)), a.shape());
        if (wanted[1]) db = sum_to(mul(dy, w), b.shape());
        if (wanted[2]) dw = sum_to(mul(dy, sub(b, a)), w.shape());
        return std::vector{da, db, dw};
      });
}
Tensor lerp(const Tensor& start, const Tensor& end, double weight) {
  check_floating("lerp", start);
  if (converted(start, end))
    return convert_and(start, end, [weight](const Tensor& u, const Tensor& v) { return lerp(u, v, weight); });
  check_same_dtype("lerp", start, end);
  Tensor y = empty(broadcast_shapes(start.shape(), end.shape(), "lerp"),
                   {.dtype = start.dtype(), .device = start.device()});
  kernels::lerp(start, end, Tensor(), weight, y);
  return record("lerp", y, {start, end}, twice_differentiable,
                [a_grad = start.requires_grad(), b_grad = end.requires_grad(), a_shape = start.shape(),
                 b_shape = end.shape(), weight](const Tensor& dy) {
                  auto side = [&](double factor, const Shape& to) { return sum_to(mul(dy, factor), to); };
                  return std::vector{a_grad ? side(1 - weight, a_shape) : Tensor(),
                                     b_grad ? side(weight, b_shape) : Tensor()};
                });
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check(condition.dtype() == boolean, "where: expects a bool condition, got ", condition.dtype());
  if (mixed(a, b)) return where(condition, widest(a), widest(b));
  check_same_dtype("where", a, b);
  const Shape shape =
      broadcast_shapes(condition.shape(), broadcast_shapes(a.shape(), b.shape(), "where"), "where");
  Tensor y = empty(shape, {.dtype = a.dtype(), .device = a.device()});
  kernels::where(condition, a, b, y);
  return record("where", y, {a, b}, twice_differentiable,
                [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
                 b_shape = b.shape(), condition = SavedTensor(condition)](const Tensor& dy) {
                  const Tensor zero = zero_for(dy);
                  Tensor da, db;
                  if (a_grad) da = sum_to(where(condition.get(), dy, zero), a_shape);
                  if (b_grad) db = sum_to(where(condition.get(), zero, dy), b_shape);
                  return std::vector{da, db};
                });
}

Tensor eq(const Tensor& a, const Tensor& b) { return compare("eq", Binary::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare("ne", Binary::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare("lt", Binary::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare("le", Binary::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare("gt", Binary::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare("ge", Binary::ge, a, b); }
Tensor eq(const Tensor& x, double value) { return compare("eq", Binary::eq, x, value); }
Tensor ne(const Tensor& x, double value) { return compare("ne", Binary::ne, x, value); }
Tensor lt(const Tensor& x, double value) { return compare("lt", Binary::lt, x, value); }
Tensor gt(const Tensor& x, double value) { return compare("gt", Binary::gt, x, value); }
Tensor le(const Tensor& x, double value) { return compare("le", Binary::le, x, value); }
Tensor ge(const Tensor& x, double value) { return compare("ge", Binary::ge, x, value); }

Tensor logical_not(const Tensor& x) { return eq(x, 0); }
Tensor logical_and(const Tensor& a, const Tensor& b) { return where(truth(a), truth(b), constant(a, 0)); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return where(truth(a), constant(a, 1), truth(b)); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return ne(truth(a), truth(b)); }

Tensor isnan(const Tensor& x) { return is_floating(x.dtype()) ? ne(x, x) : same_for_all(x, 0); }
Tensor isinf(const Tensor& x) {
  return is_floating(x.dtype()) ? eq(abs(x.detach()), INFINITY) : same_for_all(x, 0);
}
Tensor isfinite(const Tensor& x) {
  return is_floating(x.dtype()) ? lt(abs(x.detach()), INFINITY) : same_for_all(x, 1);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const int extra = x.dim() - shape.dims();
  bool fits = extra >= 0;
  std::vector<int> dims;
  for (int d = 0; fits && d < x.dim(); ++d) {
    const bool along = d < extra || (shape[d - extra] == 1 && x.shape()[d] != 1);
    if (along) dims.push_back(d);
    fits = along || shape[d - extra] == x.shape()[d];
  }
  check(fits, "sum_to: expects a shape that broadcasts to ", x.shape(), ", got ", shape);
  const Tensor summed = sum(x, dims).reshape(shape);
  return is_floating(x.dtype()) ? summed.to(x.dtype()) : summed;
}

}  // namespace karyon
