#pragma once
#include <array>
#include <vector>

#include <karyon/core/tensor.h>
#include <karyon/core/trace.h>

// Private: how reductions, scans and sorts hand the dimensions of a tensor to kernels.
namespace karyon::reduction {

/// Throws Error unless x is f32 or f64, after widen().
void check_floating(const char* op, const Tensor& x);

/// x as a kernel reads it. The CPU's read all types but f16 and i32; those of other devices only f32 and f64.
Tensor reducible(const Tensor& x);

/// x as [outer, size of dim, inner]. The one dimension of a scalar is 0 or -1.
Tensor around(const char* op, const Tensor& x, int dim);

/// The elements of x along `dim` at index [outer, k, inner], under the shape `out`. Differentiable in x; the
/// indices of a column are distinct.
Tensor picked(const char* op, const Tensor& x, int dim, const Tensor& index, const Shape& out);

struct Plan;
/// Records y, an element of x for each result: all elements equal to it share its gradient evenly. y has the
/// shape `plan.out`.
Tensor shared_by_ties(const char* op, const Plan& plan, const Tensor& x, const Tensor& y);

/// Which dimensions are reduced (all, if none are given), and the shapes that follow from it.
struct Plan {
  std::array<bool, Shape::max_dims> gone{};
  Shape kept;              // 1 for each reduced dimension
  Shape out;               // `kept`, or without the reduced dimensions
  std::int64_t count = 1;  // elements in one result

  Plan(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim);
  /// "dim" and "keepdim".
  TraceOptions options() const;
};

/// The reduced dimensions as one. Where others lie between them, x is permuted, with a copy.
struct Run {
  Shape from;              // x's shape
  std::vector<int> order;  // of the dimensions; empty if nothing is permuted
  Shape whole;             // [outer, n, inner]
  Shape one;               // [outer, 1, inner], the result's

  Run(const Plan& plan, const Tensor& x);
  /// x as `whole`.
  Tensor gather(const Tensor& x) const;
  /// The same, differentiable.
  Tensor gathered(const Tensor& x) const;
  /// The way back from gather().
  Tensor spread(const Tensor& x) const;
};

}  // namespace karyon::reduction
