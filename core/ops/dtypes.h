#pragma once
#include <karyon/core/tensor.h>

// Private: how operations take types that kernels do not compute with. f16 and i32 become f32 and i64 first.
namespace karyon {

/// Throws Error unless x is f32, f64 or bf16; for f16 it names the cast.
void check_computed(const char* op, const Tensor& x);

/// x cast to the widest type of its kind that mixes with it: bf16 and f16 to f32, i32 to i64; else x.
/// Differentiable.
Tensor widest(const Tensor& x);

/// True if kernels take neither both types nor one for the other: they differ and mix, or are f16 or i32.
bool converted(const Tensor& a, const Tensor& b);

/// An index or label as kernels take it: i32 becomes i64; else x.
Tensor as_i64(const Tensor& x);

/// f(x) in the type that kernels compute with, as x's type.
template <class F>
Tensor in_kernel_dtype(const Tensor& x, F f) {
  return f(x.to(kernel_dtype(x.dtype()))).to(x.dtype());
}

}  // namespace karyon
