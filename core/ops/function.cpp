#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/function.h>
#include <karyon/core/ops/function.h>

namespace karyon {
namespace {

using kernels::Function;
enum class Keep { input, output };

Tensor apply(const char* name, Function op, Keep keep, const Tensor& input) {
  const Tensor x = widen(input);
  check(x.dtype() == f32 || x.dtype() == f64, name, ": expects f32, f64 or bf16, got ", x.dtype());
  Tensor y = empty_like(x);
  kernels::function(op, x, y);
  return record(name, y, {x}, [op, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    kernels::function_backward(op, dy, saved.get(), dx);
    return std::vector{dx};
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
