#pragma once
#include <optional>
#include <vector>

#include <karyon/core/tensor.h>

// Operations that change a tensor's shape, repeat or reorder its values. They compute nothing and take any
// dtype; differentiable where the dtype is floating. A negative dimension counts from the end. squeeze,
// flatten, movedim, repeat_interleave and flip take 0 or -1 as the one dimension of a scalar. squeeze,
// unsqueeze, flatten and unflatten share x's memory, as do unbind and chunk along dimension 0; the rest copy.
// Results have at most 8 dimensions.
namespace karyon {

// ---- the same values under another shape ----

/// x without its dimensions of size 1: all of them, `dim`, or `dims`. A dimension of another size stays.
/// Throws Error for a dimension out of range or given twice.
Tensor squeeze(const Tensor& x);
Tensor squeeze(const Tensor& x, int dim);
Tensor squeeze(const Tensor& x, const std::vector<int>& dims);
/// x with a dimension of size 1 before dimension `dim`; -1 is behind the last.
Tensor unsqueeze(const Tensor& x, int dim);
/// Dimensions `start` to `end` joined to one; a scalar becomes [1]. Throws Error if `end` is before `start`.
Tensor flatten(const Tensor& x, int start = 0, int end = -1);
/// Dimension `dim` cut into `sizes`, of which one may be -1. Throws Error if their product is not its size.
Tensor unflatten(const Tensor& x, int dim, const Shape& sizes);

// ---- dimensions reordered ----

/// As transpose.
Tensor swapaxes(const Tensor& x, int dim0, int dim1);
/// Dimensions moved from the places `from` to the places `to`; the others keep their order. Throws Error if
/// the two differ in length, or name a dimension twice.
Tensor movedim(const Tensor& x, const std::vector<int>& from, const std::vector<int>& to);
Tensor movedim(const Tensor& x, int from, int to);

// ---- values repeated ----

/// x broadcast to `shape`: sizes of 1 grow, new dimensions come first, and -1 keeps a size. It shares memory
/// if it has as many elements. Throws Error if x does not broadcast to `shape`.
Tensor expand(const Tensor& x, const Shape& shape);
inline Tensor expand_as(const Tensor& x, const Tensor& other) { return expand(x, other.shape()); }
inline Tensor broadcast_to(const Tensor& x, const Shape& shape) { return expand(x, shape); }
/// x repeated whole along each dimension; new dimensions come first.
///   repeats  a count for each dimension of the result, 0 or more; at least as many as x has
///   returns  [repeats[0] * size 0, repeats[1] * size 1, ...]
Tensor repeat(const Tensor& x, const Shape& repeats);
/// As repeat, but dimensions without a count are not repeated: the counts are for the last ones.
Tensor tile(const Tensor& x, const Shape& repeats);
/// Each element `count` times, or its own number of times, along `dim` (of x flattened, if there is none).
/// Throws Error for a negative count, or if there is not one count for each element.
Tensor repeat_interleave(const Tensor& x, std::int64_t count, std::optional<int> dim = {});
Tensor repeat_interleave(const Tensor& x, const std::vector<std::int64_t>& counts,
                         std::optional<int> dim = {});

enum class GridIndexing { ij, xy };
/// The coordinates of a grid: for vectors of n_0, n_1, ... elements as many tensors of [n_0, n_1, ...];
/// tensor i has the values of vector i along dimension i. A scalar is a vector of one. With `xy` the first
/// two dimensions are exchanged. Throws Error if there are none, or for other shapes or several dtypes.
std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors, GridIndexing indexing = GridIndexing::ij);

// ---- values at other places ----

/// The order of the elements reversed along `dims`. Throws Error for a dimension given twice.
Tensor flip(const Tensor& x, const std::vector<int>& dims);
/// Elements moved `shift` places on along `dim` (of x flattened, if there is none); those that leave at one
/// end come in at the other. Throws Error if there are not as many shifts as dimensions.
Tensor roll(const Tensor& x, std::int64_t shift, std::optional<int> dim = {});
Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& dims);
/// The matrices [..., M, N] with zeros above (tril) or below (triu) the diagonal of elements [i, i +
/// diagonal]. Throws Error for fewer than two dimensions.
Tensor tril(const Tensor& x, std::int64_t diagonal = 0);
Tensor triu(const Tensor& x, std::int64_t diagonal = 0);
/// The elements [i, i + offset] of dimensions dim1 and dim2, which become the last dimension. Throws Error if
/// the two are the same.
Tensor diagonal(const Tensor& x, std::int64_t offset = 0, int dim1 = 0, int dim2 = 1);

// ---- several tensors ----

/// At most `chunks` pieces of one size along `dim`; the last may be smaller. Nothing gives `chunks` empty
/// pieces. Throws Error unless chunks is 1 or more.
std::vector<Tensor> chunk(const Tensor& x, std::int64_t chunks, int dim = 0);
/// The slices along `dim`, without that dimension.
std::vector<Tensor> unbind(const Tensor& x, int dim = 0);
/// cat of columns: along dimension 1, or 0 for vectors. Scalars are vectors of one.
Tensor hstack(const std::vector<Tensor>& tensors);
/// cat of rows, along dimension 0. Vectors are rows, scalars rows of one.
Tensor vstack(const std::vector<Tensor>& tensors);

}  // namespace karyon
