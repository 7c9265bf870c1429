#pragma once
#include <vector>

#include <karyon/core/tensor.h>

// Reductions over some dimensions (all, if none are given). With keepdim a reduced dimension stays
// with size 1. f32, f64, or bf16, which is cast to f32 and gives f32; sum, max and argmax also i64, u8 and
// bool. f32 sums are accumulated so that their error does not grow with the count. The one dimension of a
// scalar is 0 or -1.
namespace karyon {

///   x        any shape
///   returns  x's shape without `dims` (or with 1 in their place)
/// Differentiable in x. Throws Error for a dimension out of range or given twice. The sum of nothing is 0,
/// its mean NaN. The sum of whole numbers or truth values is i64: sum(eq(a, b)) counts.
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// The largest element: elements that tie share the gradient evenly. NaN wins.
/// Throws Error if there is nothing to choose from.
Tensor max(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// max by PyTorch's name; torch.max with a dimension also returns indices, for which there is argmax.
inline Tensor amax(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false) {
  return max(x, dims, keepdim);
}
/// The index of the (first) largest element along `dim`, as i64; NaN wins. Not differentiable.
/// Throws Error if there is nothing to choose from.
Tensor argmax(const Tensor& x, int dim, bool keepdim = false);

/// exp(x) / sum(exp(x)) along `dim`, without overflow. Returns x's shape. Differentiable in x.
Tensor softmax(const Tensor& x, int dim);
/// log(softmax(x, dim)), computed without the intermediate. Differentiable in x.
Tensor log_softmax(const Tensor& x, int dim);

}  // namespace karyon
