#pragma once
#include <karyon/core/kernels/index.h>

// What operations by index share; defined in core/ops/rows.cpp.
namespace karyon {

/// A tensor of its own with x's values, not recorded.
Tensor copied(const Tensor& x);
/// A tensor without dimensions, of x's dtype.
Tensor number_for(const Tensor& x, double value);

/// base + stride * index along a dimension, of shape `out`. Throws Error for an index that is out of range or
/// neither i64 nor i32.
Tensor locate(const char* op, const Tensor& index, const Tensor& base, const kernels::IndexedDim& dim,
              const Shape& out);

/// An array as [outer, size, inner], the rows in it that tensors name, and what shape these have as a result.
struct Rows {
  std::int64_t outer = 1, size = 1, inner = 1;
  Tensor at = {};
  Shape result = {};

  /// The rows of x. Differentiable.
  Tensor of(const char* op, const Tensor& x) const;
  /// The same, not recorded.
  Tensor taken(const Tensor& x) const;
  /// Writes `part` to the rows of x, or adds it: f32, f64 and i64.
  void put(bool add, const Tensor& part, Tensor& x) const;
  /// x + part in the rows, not recorded; bf16 and f16 are added in f32, i32 in i64.
  Tensor added(const Tensor& x, const Tensor& part) const;
};

}  // namespace karyon
