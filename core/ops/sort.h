#pragma once
#include <karyon/core/ops/reduce.h>

// Order along a dimension, and counts of values. Any dtype, if nothing else is said; values keep it. NaN is
// larger than all others, and -0 equals 0. Of equals the first counts as the smaller, also in descending
// order: sorts are stable, and the results are the same everywhere. Values are differentiable where the dtype
// is floating: the gradient goes to the elements they come from. Indices are i64 and have no gradient. The
// one dimension of a scalar is 0 or -1.
namespace karyon {

/// The elements in order along `dim`; values and indices have x's shape. Throws Error for a dimension out of
/// range.
ValuesAndIndices sort(const Tensor& x, int dim = -1, bool descending = false);
/// The indices alone.
Tensor argsort(const Tensor& x, int dim = -1, bool descending = false);
/// The k largest (or smallest) along `dim`, in order, the best first; both results have k elements there.
/// Throws Error unless k is from 0 to the size.
ValuesAndIndices topk(const Tensor& x, std::int64_t k, int dim = -1, bool largest = true);
/// The k-th smallest along `dim`, from 1; x's shape without `dim` (or with 1 in its place). Throws Error
/// unless k is from 1 to the size.
ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, int dim = -1, bool keepdim = false);
/// The middle of the elements along `dim`, the lower of two; the first NaN, if there is one. Throws Error if
/// there are none.
ValuesAndIndices median(const Tensor& x, int dim, bool keepdim = false);
/// The median of all elements, without dimensions; those equal to it share the gradient evenly.
Tensor median(const Tensor& x);

/// The distinct elements of a tensor.
struct Unique {
  Tensor values;   ///< [m], in ascending order
  Tensor inverse;  ///< x's shape, i64: which of the values each element is
  Tensor counts;   ///< [m], i64: how often each value is there
};
/// All three at once; each NaN is a value of its own. Not differentiable; computed by the CPU.
Unique unique(const Tensor& x);

/// How often each number is there, or the sum of the weights beside it.
///   x        [n], i64, i32 or u8, no number below 0
///   weights  [n], or undefined
///   returns  [max(largest + 1, minlength)]: i64; of weights f32 if they are, else f64
/// Not differentiable; computed by the CPU. Throws Error for other shapes, dtypes and numbers.
Tensor bincount(const Tensor& x, const Tensor& weights = {}, std::int64_t minlength = 0);

struct HistcOptions {
  std::int64_t bins = 100;
  double min = 0, max = 0;  ///< both ends belong to the range; if they are equal, it is that of the elements
};
/// The counts of elements in bins of equal width, [bins], as f64 for f64, else f32. Others, and NaN, are left
/// out. f32, f64 or bf16. Not differentiable; computed by the CPU. Throws Error unless bins >= 1 and the
/// range is finite.
Tensor histc(const Tensor& x, HistcOptions options = {});

/// Where each value would have to be put so that the order stays.
///   sorted   [..., n], in ascending order along the last dimension
///   values   [..., m] with the same leading sizes, or any shape if `sorted` has one dimension; same dtype
///   returns  values' shape, i64: how many of `sorted` are less than the value (`right`: not greater than it)
/// NaN belongs to the end. Not differentiable. Throws Error for other shapes, dtypes that differ, and bool.
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right = false);

}  // namespace karyon
