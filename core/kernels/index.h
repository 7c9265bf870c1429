#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// A dimension that an index leads along: its size, how far its elements are apart, and whether negative
/// numbers count from the end.
struct IndexedDim {
  std::int64_t size = 0, stride = 1;
  bool from_end = false;
};
/// y = base + stride * index, or -1 where the index is out of range or base is -1. All i64; index and base
/// broadcast to y's shape.
extern Kernel<void(const Tensor& index, const Tensor& base, const IndexedDim& dim, Tensor& y)> locate;

/// y [outer, n, inner] = the rows of x [outer, size, inner] that `rows` [n] names: i64 in range. Any dtype.
extern Kernel<void(const Tensor& x, const Tensor& rows, Tensor& y)> take_rows;
/// The rows of y [outer, size, inner] that `rows` [n] names become those of x [outer, n, inner], or they are
/// added if `add`. Equal rows take turns in the order of x. Any dtype; f32, f64 and i64 are added.
extern Kernel<void(bool add, const Tensor& x, const Tensor& rows, Tensor& y)> put_rows;

/// Elements of x that are counted together.
inline constexpr std::int64_t nonzero_chunk = 1024;
/// The bits that make an element not 0: all but the sign of floating types.
constexpr std::uint64_t nonzero_bits(DType dtype) {
  const std::uint64_t sign = std::uint64_t{1} << (8 * element_size(dtype) - 1);
  return is_floating(dtype) ? sign - 1 : sign - 1 + sign;
}
/// counts [chunks], i64: the elements of each chunk of x that are not 0. Any dtype.
extern Kernel<void(const Tensor& x, Tensor& counts)> nonzero_counts;
/// y [n, dims of x], i64: their indices; those of a chunk begin in the row of y that `starts` [chunks] names.
extern Kernel<void(const Tensor& x, const Tensor& starts, Tensor& y)> nonzero;

}  // namespace karyon::kernels
