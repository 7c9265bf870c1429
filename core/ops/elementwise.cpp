#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
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

enum class Keep { input, output };
Tensor unary(const char* name, Unary op, Keep keep, const Tensor& x, double p = 0, double q = 0) {
  check_floating(name, x);
  Tensor y = apply(op, x, p, q);
  return record(name, y, {x}, [op, p, q, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    kernels::unary_backward(op, p, q, dy, saved.get(), dx);
    return std::vector{dx};
  });
}

void check_scalar(const char* op, const Tensor& x, double value) {
  if (x.dtype() != i64) return check_floating(op, x);
  check(std::abs(value) <= 0x1p53 && value == std::trunc(value), op,
        ": expects a whole number beside i64, got ", value);
}

// ---- two tensors ----

Tensor apply(Binary op, const Tensor& a, const Tensor& b, const Shape& shape, DType dtype) {
  Tensor y = empty(shape, {.dtype = dtype, .device = a.device()});
  kernels::binary(op, a, b, y);
  return y;
}
// The gradient of one side before its sum: a product or quotient of dy and the other side.
Tensor apply(Binary op, const Tensor& dy, const Tensor& other) {
  return apply(op, dy, other, dy.shape(), dy.dtype());
}

Tensor arithmetic(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  check_same_dtype(name, a, b);
  check(is_floating(a.dtype()) || (a.dtype() == i64 && op <= Binary::mul), name,
        op <= Binary::mul ? ": expects f32, f64, bf16 or i64, got " : ": expects f32, f64 or bf16, got ",
        a.dtype());
  return apply(op, a, b, broadcast_shapes(a.shape(), b.shape(), name), a.dtype());
}

// div, pow, maximum, minimum: both gradients need both inputs.
Tensor nonlinear(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return nonlinear(name, op, widen(a), widen(b));
  Tensor y = arithmetic(name, op, a, b);
  return record(name, y, {a, b},
                [op, a_grad = a.requires_grad(), b_grad = b.requires_grad(), a = SavedTensor(a),
                 b = SavedTensor(b)](const Tensor& dy) {
                  auto side = [&](Side which, const Shape& shape) {
                    Tensor dx = empty_like(dy);
                    kernels::binary_backward(op, which, dy, a.get(), b.get(), dx);
                    return sum_to(dx, shape);
                  };
                  return std::vector{a_grad ? side(Side::a, a.get().shape()) : Tensor(),
                                     b_grad ? side(Side::b, b.get().shape()) : Tensor()};
                });
}

Tensor compare(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return compare(name, op, widen(a), widen(b));
  check_same_dtype(name, a, b);
  return apply(op, a, b, broadcast_shapes(a.shape(), b.shape(), name), boolean);
}

// An integer against a number that its type cannot hold is compared in f64.
Tensor compare(const char* name, Binary op, const Tensor& x, double value) {
  const double low = x.dtype() == i64 ? -0x1p53 : 0;
  const double high = x.dtype() == i64 ? 0x1p53 : x.dtype() == u8 ? 255 : 1;
  const bool held = is_floating(x.dtype()) || (value >= low && value <= high && value == std::trunc(value));
  const Tensor left = held ? x : x.to(f64);
  return compare(name, op, left, full({}, value, {.dtype = left.dtype(), .device = x.device()}));
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return add(widen(a), widen(b));
  return record(
      "add", arithmetic("add", Binary::add, a, b), {a, b},
      [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
       b_shape = b.shape()](const Tensor& dy) {
        return std::vector{a_grad ? sum_to(dy, a_shape) : Tensor(), b_grad ? sum_to(dy, b_shape) : Tensor()};
      });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return sub(widen(a), widen(b));
  return record("sub", arithmetic("sub", Binary::sub, a, b), {a, b},
                [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
                 b_shape = b.shape()](const Tensor& dy) {
                  return std::vector{a_grad ? sum_to(dy, a_shape) : Tensor(),
                                     b_grad ? apply(Unary::neg, sum_to(dy, b_shape)) : Tensor()};
                });
}

// Each side's gradient needs only the other side. A side that no gradient needs is not kept.
Tensor mul(const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return mul(widen(a), widen(b));
  const bool a_grad = a.requires_grad(), b_grad = b.requires_grad();
  return record("mul", arithmetic("mul", Binary::mul, a, b), {a, b},
                [a_shape = a.shape(), b_shape = b.shape(), a = SavedTensor(b_grad ? a : Tensor()),
                 b = SavedTensor(a_grad ? b : Tensor())](const Tensor& dy) {
                  auto side = [&](const Tensor& other, const Shape& shape) {
                    return other.defined() ? sum_to(apply(Binary::mul, dy, other), shape) : Tensor();
                  };
                  return std::vector{side(b.get(), a_shape), side(a.get(), b_shape)};
                });
}

Tensor div(const Tensor& a, const Tensor& b) {
  if (mixed(a, b)) return div(widen(a), widen(b));
  if (b.requires_grad()) return nonlinear("div", Binary::div, a, b);
  return record("div", arithmetic("div", Binary::div, a, b), {a, b},
                [shape = a.shape(), b = SavedTensor(b)](const Tensor& dy) {
                  return std::vector{sum_to(apply(Binary::div, dy, b.get()), shape), Tensor()};
                });
}
Tensor pow(const Tensor& a, const Tensor& b) { return nonlinear("pow", Binary::pow, widen(a), widen(b)); }
Tensor maximum(const Tensor& a, const Tensor& b) { return nonlinear("maximum", Binary::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return nonlinear("minimum", Binary::minimum, a, b); }

Tensor add(const Tensor& x, double value) {
  check_scalar("add", x, value);
  return record("add", apply(Unary::add, x, value), {x}, [](const Tensor& dy) { return std::vector{dy}; });
}
Tensor mul(const Tensor& x, double value) {
  check_scalar("mul", x, value);
  return record("mul", apply(Unary::mul, x, value), {x},
                [value](const Tensor& dy) { return std::vector{apply(Unary::mul, dy, value)}; });
}
Tensor pow(const Tensor& x, double exponent) {
  return unary("pow", Unary::pow, Keep::input, widen(x), exponent);
}

Tensor neg(const Tensor& x) {
  check_floating("neg", x);
  return record("neg", apply(Unary::neg, x), {x},
                [](const Tensor& dy) { return std::vector{apply(Unary::neg, dy)}; });
}
Tensor exp(const Tensor& x) { return unary("exp", Unary::exp, Keep::output, widen(x)); }
Tensor log(const Tensor& x) { return unary("log", Unary::log, Keep::input, widen(x)); }
Tensor sqrt(const Tensor& x) { return unary("sqrt", Unary::sqrt, Keep::output, widen(x)); }
Tensor abs(const Tensor& x) { return unary("abs", Unary::abs, Keep::input, x); }
Tensor clamp(const Tensor& x, double low, double high) {
  check(low <= high, "clamp: expects low <= high, got ", low, " and ", high);
  return unary("clamp", Unary::clamp, Keep::input, x, low, high);
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check(condition.dtype() == boolean, "where: expects a bool condition, got ", condition.dtype());
  if (mixed(a, b)) return where(condition, widen(a), widen(b));
  check_same_dtype("where", a, b);
  const Shape shape =
      broadcast_shapes(condition.shape(), broadcast_shapes(a.shape(), b.shape(), "where"), "where");
  Tensor y = empty(shape, {.dtype = a.dtype(), .device = a.device()});
  kernels::where(condition, a, b, y);
  return record("where", y, {a, b},
                [a_grad = a.requires_grad(), b_grad = b.requires_grad(), a_shape = a.shape(),
                 b_shape = b.shape(), condition = SavedTensor(condition)](const Tensor& dy) {
                  const Tensor zero = zeros({}, {.dtype = dy.dtype(), .device = dy.device()});
                  Tensor da, db;
                  if (a_grad) {
                    da = empty_like(dy);
                    kernels::where(condition.get(), dy, zero, da);
                    da = sum_to(da, a_shape);
                  }
                  if (b_grad) {
                    db = empty_like(dy);
                    kernels::where(condition.get(), zero, dy, db);
                    db = sum_to(db, b_shape);
                  }
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
