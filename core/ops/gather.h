#pragma once
#include <optional>

#include <karyon/core/tensor.h>

// Elements by tensors of indices (i64 or i32) and by masks (bool). x has any dtype, unless said otherwise;
// differentiable where it is floating. Equal indices add up in the gradient, in the order of the index: the
// same bits with any number of threads.
namespace karyon {

/// The slices of x along `dim` that `index` names.
///   index    [n] or no dimensions; each in [0, x.size(dim))
///   returns  x's shape with n (or 1) in dimension `dim`; a scalar has one index and stays a scalar
/// Differentiable in x. Throws Error for an index out of range.
Tensor index_select(const Tensor& x, int dim, const Tensor& index);

/// y[i][j][k] = x[i][index[i][j][k]][k] for dim = 1, and so on.
///   index    as many dimensions as x, and no size above x's but along `dim`; each in [0, x.size(dim))
///   returns  index's shape
/// Differentiable in x. Throws Error for shapes that do not fit and an index out of range.
Tensor gather(const Tensor& x, int dim, const Tensor& index);
/// The same where x and indices broadcast in all dimensions but `dim`, and negative indices count from the
/// end. Without `dim` both are read as one dimension.
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int> dim = std::nullopt);

/// x with src's elements at the places from where gather(x, dim, index) reads: y[i][index[i][j]] = src[i][j]
/// for dim = 1.
///   index    as in gather()
///   src      x's dtype; no size below index's; elements outside of index's shape are left out. Or a number
///   returns  x's shape
/// Of equal places the last one counts, and all get its gradient. Differentiable in x and src. Throws Error
/// as gather(), and for a src that does not fit.
Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& src);
Tensor scatter(const Tensor& x, int dim, const Tensor& index, double value);
/// The same, but src's elements are added, in order. f32, f64, i64, i32, or bf16 and f16, which are added in f32 and
/// rounded once.
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src);

/// `value` where the mask is true, x elsewhere.
///   mask     bool; broadcasts with x
///   value    a number, or a tensor of no dimensions and x's dtype
///   returns  the broadcast shape
/// Differentiable in x and value. Throws Error for another mask or value.
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value);
/// The same in place. The mask broadcasts to x's shape.
inline Tensor& masked_fill_(Tensor& x, const Tensor& mask, double value) {
  return x.masked_fill_(mask, value);
}
/// The elements of x where the mask is true, in order.
///   mask     bool; broadcasts with x
///   returns  [n]
/// Differentiable in x.
Tensor masked_select(const Tensor& x, const Tensor& mask);
/// The indices of the elements of x that are not 0, in order.
///   returns  [n, x.dim()], i64
/// NaN is not 0. Not differentiable.
Tensor nonzero(const Tensor& x);

}  // namespace karyon
