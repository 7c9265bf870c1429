#pragma once
#include <vector>

#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// y [outer, n, inner]: row i is the sum of weights[t] times row rows[t] of x [outer, size, inner], for t from
/// starts[i] to starts[i + 1] - 1, in that order. f32 or f64, as the weights; starts [n + 1] and rows are i64.
extern Kernel<void(const Tensor& x, const Tensor& starts, const Tensor& rows, const Tensor& weights,
                   Tensor& y)>
    mix_rows;

}  // namespace karyon::kernels

namespace karyon {

/// Rows that are sums of rows of an array, each with a weight: a sparse matrix times x along a dimension. What
/// resampling shares; defined in core/ops/mix.cpp.
class RowMix {
 public:
  explicit RowMix(std::int64_t size) : size_(size) {}

  /// Adds `weight` times row `row` of x to the row that is built.
  void add(std::int64_t row, double weight) {
    rows_.push_back(row);
    weights_.push_back(weight);
  }
  /// Ends the row that is built; the next one begins.
  void next() { starts_.push_back(static_cast<std::int64_t>(rows_.size())); }
  std::int64_t count() const { return static_cast<std::int64_t>(starts_.size()) - 1; }

  /// The rows along dimension `dim` of x, which is f32 or f64. Differentiable.
  Tensor of(const char* op, const Tensor& x, int dim) const;

 private:
  RowMix transposed() const;
  Tensor mixed(const Tensor& x, int dim) const;

  std::int64_t size_;  // rows of x
  std::vector<std::int64_t> starts_{0}, rows_;
  std::vector<double> weights_;
};

}  // namespace karyon
