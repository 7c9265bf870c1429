#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/function.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <numbers>

namespace karyon {
namespace {

using kernels::Function;
enum class Keep { input, output };

// The gradient from what was saved, x or y, as a composition.
Tensor gradient(Function op, const Tensor& dy, const Tensor& at) {
  constexpr double ln_2 = std::numbers::ln2, ln_10 = std::numbers::ln10;
  switch (op) {
    case Function::sin: return mul(dy, karyon::cos(at));
    case Function::cos: return neg(mul(dy, karyon::sin(at)));
    case Function::tan: return mul(dy, square(at) + 1);
    case Function::asin: return mul(dy, karyon::rsqrt(1 - square(at)));
    case Function::acos: return neg(mul(dy, karyon::rsqrt(1 - square(at))));
    case Function::atan: return div(dy, square(at) + 1);
    case Function::sinh: return mul(dy, karyon::cosh(at));
    case Function::cosh: return mul(dy, karyon::sinh(at));
    case Function::log1p: return div(dy, at + 1);
    case Function::expm1: return mul(dy, at + 1);
    case Function::log2: return div(dy, mul(at, ln_2));
    case Function::log10: return div(dy, mul(at, ln_10));
    case Function::exp2: return mul(dy, mul(at, ln_2));
    case Function::rsqrt: return mul(dy, mul(pow(at, 3), -0.5));
    case Function::erf: return mul(dy, mul(exp(neg(square(at))), 2 * std::numbers::inv_sqrtpi));
  }
  return {};
}

Tensor apply(const char* name, Function op, Keep keep, const Tensor& input) {
  const Tensor x = widen(input);
  check(x.dtype() == f32 || x.dtype() == f64, name, ": expects f32, f64 or bf16, got ", x.dtype());
  Tensor y = empty_like(x);
  kernels::function(op, x, y);
  return record(name, y, {x}, twice_differentiable,
                [name, op, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
                  const Tensor from = saved.get();
                  Tensor dx = empty_like(dy);
                  kernels::function_backward(op, dy, from, dx);
                  return std::vector{record_as(name, dx, {dy, from},
                                               [op](const auto& in) { return gradient(op, in[0], in[1]); })};
                });
}

}  // namespace

Tensor sin(const Tensor& x) { return apply("sin", Function::sin, Keep::input, x); }
Tensor cos(const Tensor& x) { return apply("cos", Function::cos, Keep::input, x); }
Tensor tan(const Tensor& x) { return apply("tan", Function::tan, Keep::output, x); }
Tensor asin(const Tensor& x) { return apply("asin", Function::asin, Keep::input, x); }
Tensor acos(const Tensor& x) { return apply("acos", Function::acos, Keep::input, x); }
Tensor atan(const Tensor& x) { return apply("atan", Function::atan, Keep::input, x); }
Tensor sinh(const Tensor& x) { return apply("sinh", Function::sinh, Keep::input, x); }
Tensor cosh(const Tensor& x) { return apply("cosh", Function::cosh, Keep::input, x); }
Tensor log1p(const Tensor& x) { return apply("log1p", Function::log1p, Keep::input, x); }
Tensor expm1(const Tensor& x) { return apply("expm1", Function::expm1, Keep::output, x); }
Tensor log2(const Tensor& x) { return apply("log2", Function::log2, Keep::input, x); }
Tensor log10(const Tensor& x) { return apply("log10", Function::log10, Keep::input, x); }
Tensor exp2(const Tensor& x) { return apply("exp2", Function::exp2, Keep::output, x); }
Tensor rsqrt(const Tensor& x) { return apply("rsqrt", Function::rsqrt, Keep::output, x); }
Tensor erf(const Tensor& x) { return apply("erf", Function::erf, Keep::input, x); }

}  // namespace karyon
