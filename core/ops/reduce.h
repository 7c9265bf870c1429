#pragma once
#include <concepts>
#include <vector>

#include <karyon/core/tensor.h>

// Reductions over some dimensions (all, if none are given). With keepdim a reduced dimension stays
// with size 1. f32, f64, or bf16, which is cast to f32 and gives f32; sum, prod, the extremes and what counts
// also i64, i32, u8 and bool; f16 is taken as bf16 is. f32 sums are accumulated so that their error does not grow with the count. The one
// dimension of a scalar is 0 or -1.
namespace karyon {

///   x        any shape
///   returns  x's shape without `dims` (or with 1 in their place)
/// Differentiable in x. Throws Error for a dimension out of range or given twice. The sum of nothing is 0,
/// its mean NaN. The sum of whole numbers or truth values is i64: sum(eq(a, b)) counts.
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// The product; 1 of nothing, i64 of whole numbers or truth values. Differentiable in x, also at 0.
Tensor prod(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// log(sum(exp(x))), without overflow; -infinity of nothing. f32, f64, bf16. Differentiable in x.
Tensor logsumexp(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

/// The largest, the smallest element: elements that tie share the gradient evenly. NaN wins.
/// Throws Error if there is nothing to choose from.
Tensor max(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor min(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// max and min by PyTorch's names for them.
inline Tensor amax(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false) {
  return max(x, dims, keepdim);
}
inline Tensor amin(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false) {
  return min(x, dims, keepdim);
}
/// The index of the (first) largest, smallest element along `dim`, as i64; NaN wins. Not differentiable.
/// Throws Error if there is nothing to choose from.
Tensor argmax(const Tensor& x, int dim, bool keepdim = false);
Tensor argmin(const Tensor& x, int dim, bool keepdim = false);

/// Elements of a tensor, and where they come from: `auto [values, indices] = max(x, 1);`
struct ValuesAndIndices {
  Tensor values, indices;  ///< x's dtype, i64
};
/// max(x, 1), max(x, 1, keepdim): the (first) largest, smallest elements along one dimension with their
/// indices. The values keep x's dtype, and their gradient goes to those indices alone. Throws Error if there
/// is nothing to choose from. With braces, max(x, {1}), it is the reduction above.
ValuesAndIndices max_with_indices(const Tensor& x, int dim, bool keepdim = false);
ValuesAndIndices min_with_indices(const Tensor& x, int dim, bool keepdim = false);
template <std::same_as<int> Dim>
ValuesAndIndices max(const Tensor& x, Dim dim, bool keepdim = false) {
  return max_with_indices(x, dim, keepdim);
}
template <std::same_as<int> Dim>
ValuesAndIndices min(const Tensor& x, Dim dim, bool keepdim = false) {
  return min_with_indices(x, dim, keepdim);
}

/// Whether any, all elements are other than 0: bool, but u8 of u8. NaN is other than 0. Not differentiable.
Tensor any(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor all(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// How many elements are other than 0, as i64. Not differentiable.
Tensor count_nonzero(const Tensor& x, const std::vector<int>& dims = {});

/// exp(x) / sum(exp(x)) along `dim`, without overflow. Returns x's shape. Differentiable in x.
Tensor softmax(const Tensor& x, int dim);
/// log(softmax(x, dim)), computed without the intermediate. Differentiable in x.
Tensor log_softmax(const Tensor& x, int dim);

}  // namespace karyon
