#pragma once
#include <karyon/core/kernels/kernel.h>

// Elements at indices [outer, k, inner], i64, along a dimension; any type.
namespace karyon::kernels {

/// y [outer, k, inner]: y[o, j, i] = x[o, index[o, j, i], i].
extern Kernel<void(const Tensor& x, const Tensor& index, Tensor& y)> pick;
/// The way back: dx [outer, n, inner] = dy at the indices, which are distinct in each column; 0 elsewhere.
extern Kernel<void(const Tensor& dy, const Tensor& index, Tensor& dx)> put;

}  // namespace karyon::kernels
