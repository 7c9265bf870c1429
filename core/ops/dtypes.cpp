#include <karyon/core/autocast.h>
#include <karyon/core/ops/dtypes.h>

namespace karyon {

void check_computed(const char* op, const Tensor& x) {
  check(is_floating(x.dtype()) && x.dtype() != f16, op, ": expects f32, f64 or bf16, got ", x.dtype(),
        x.dtype() == f16 ? "; cast it by .to(f32)" : "");
}

Tensor widest(const Tensor& x) { return as_i64(widen(x)); }

bool converted(const Tensor& a, const Tensor& b) {
  return mixed(a, b) || (a.dtype() == b.dtype() && a.dtype() != kernel_dtype(a.dtype()));
}

Tensor as_i64(const Tensor& x) { return x.dtype() == i32 ? x.to(i64) : x; }

}  // namespace karyon
