#pragma once
#include <karyon/core/kernels/kernel.h>

// NaN is larger than all others, and of equals the first is the smaller. On the CPU any type, elsewhere f32.
namespace karyon::kernels {

/// index [outer, k, inner] i64 = where the first k of the sorted x [outer, n, inner] come from; k <= n.
/// Descending, equals stay in their order, too.
extern Kernel<void(bool descending, const Tensor& x, Tensor& index)> sort;
/// index [outer, inner] i64 = where the element comes from that has k smaller ones; k < n. With `nan_wins`
/// the first NaN of a column is taken, if there is one.
extern Kernel<void(std::int64_t k, bool nan_wins, const Tensor& x, Tensor& index)> kth;
/// y [rows, m] i64 = how many of sorted [rows or 1, n] are less than (`right`: not greater than) values
/// [rows, m].
extern Kernel<void(bool right, const Tensor& sorted, const Tensor& values, Tensor& y)> searchsorted;

}  // namespace karyon::kernels
