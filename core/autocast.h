#pragma once
#include <karyon/core/tensor.h>

// Mixed precision. Under AutocastGuard(bf16) convolutions and matrix products cast their f32 inputs and
// weights to bf16, add up in f32 and return bf16. Later operations run in the type that they get. Parameters,
// their gradients and the optimizer's state stay f32.
//
// What each operation does with bf16:
//   convolutions, matmul,      under the guard f32 inputs and weights are cast; bf16 in, bf16 out; sums and
//   linear, ops/einsum.h,      biases in f32
//   attention
//   recurrent layers           under the guard the product with the input is cast; the rest in f32; the
//                              result has the input's type
//   norms                      bf16 in, bf16 out; statistics and parameters in f32
//   activations, pools,        bf16 in, bf16 out; computed in f32
//   interpolate, grid_sample,
//   fold, dropout, neg,
//   abs, clamp, square, + and
//   * with a number, floor,
//   ceil, round, trunc, sign
//   add, sub, mul, div, where, bf16 beside f32 becomes f32
//   maximum, minimum, fmod,
//   remainder, lerp,
//   comparisons, cat
//   split, stack, pad, crop,   moved as they are
//   pixel_shuffle, unfold,
//   permute, reshape, narrow,
//   select, transpose, sort,
//   topk, median, kthvalue,
//   index, gather, scatter,
//   embedding, masks,
//   ops/shape.h
//   scatter_add                bf16 in, bf16 out; added in f32
//   exp, log, sqrt, pow, sin   cast to f32; f32 out
//   and other functions,
//   reductions, running totals,
//   softmax, losses
//
// f16 is for storage. Operations that compute elements one by one, from activations to comparisons, take it
// as they take bf16; others that cast bf16 to f32 cast f16, too; what is moved stays as it is. Convolutions,
// products, attention, norms, pools, interpolation, grids, dropout and fold refuse f16. An i32 index or label
// is cast to i64; add, sub and mul of i32 give i32, sums give i64.
namespace karyon {

/// The dtype that this thread's convolutions and matrix products cast f32 tensors to. It is bf16, or f32 if
/// they cast nothing.
DType autocast_dtype();

/// Sets autocast_dtype() on this thread while it lives, as torch.autocast; f32 switches casting off. For
/// forward and loss; backward needs no guard, the casts are in the graph.
/// Throws Error for a type other than f32 and bf16.
class AutocastGuard {
 public:
  explicit AutocastGuard(DType dtype);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  DType before_;
};

// ---- for operations ----

/// x cast to autocast_dtype() if it is f32, else x. Differentiable; undefined stays undefined.
Tensor autocast(const Tensor& x);
/// The same of a weight. Without gradients the cast weight is kept until the weight changes, since later calls
/// will use it, too.
Tensor autocast_weight(const Tensor& weight);
/// x cast to f32 if it is bf16 or f16, else x. Differentiable; undefined stays undefined.
Tensor widen(const Tensor& x);
/// A parameter (a bias) as kernels take it beside x: cast to f32 if both are bf16, else itself.
/// Differentiable; undefined stays undefined.
Tensor beside(const Tensor& x, const Tensor& parameter);
/// True if the two have different types and an operation on both widens them first: f32, bf16 and f16 to f32,
/// i32 and i64 to i64.
bool mixed(const Tensor& a, const Tensor& b);

}  // namespace karyon
