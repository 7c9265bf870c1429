// What all normalizations share on the host.
#pragma once
#include <karyon/core/tensor.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>

namespace karyon::cuda {

/// The data of x, or nullptr where x is not defined.
inline const float* optional(const Tensor& x) { return x.defined() ? x.data<float>() : nullptr; }
inline float* optional(Tensor& x) { return x.defined() ? x.data<float>() : nullptr; }

/// Calls f.operator()<T>() with the type that x is stored as; everything that belongs to a channel is f32.
template <class F>
void dispatch_stored(const Tensor& x, const char* op, F f) {
  check(x.dtype() == f32 || x.dtype() == bf16, op, ": the cuda kernel expects f32 or bf16, got ", x.dtype());
  x.dtype() == f32 ? f.template operator()<float>() : f.template operator()<BFloat16>();
}

/// Zeros, where x is defined.
inline void zero(Tensor& x) {
  if (x.defined() && x.numel() > 0)
    KARYON_CUDA_CHECK(cudaMemsetAsync(
        x.data_ptr(), 0, static_cast<std::size_t>(x.numel()) * element_size(x.dtype()), context().stream));
}

}  // namespace karyon::cuda
