#pragma once
#include <optional>

#include <karyon/core/tensor.h>

namespace karyon {

struct EmbeddingOptions {
  /// A row without a gradient; a negative one counts from the end.
  std::optional<std::int64_t> padding_idx = {};
};

/// Rows of a table, as torch.nn.functional.embedding.
///   indices  any shape, i64 or i32, each in [0, V)
///   weight   [V, D], any dtype
///   returns  [indices' shape, D]
/// Differentiable in weight where that is floating: the gradients of equal indices add up in their order, the
/// same bits with any number of threads. Throws Error for an index out of range and another shape.
Tensor embedding(const Tensor& indices, const Tensor& weight, const EmbeddingOptions& options = {});

/// 1 at the place that each number names, 0 elsewhere, as torch.nn.functional.one_hot.
///   x            any shape, i64 or i32, not negative
///   num_classes  more than the largest of x; one more than it, if it is -1
///   returns      [x's shape, num_classes], i64
/// Not differentiable. Throws Error for a number out of range, and for nothing without num_classes.
Tensor one_hot(const Tensor& x, std::int64_t num_classes = -1);

}  // namespace karyon
