#pragma once
#include <string>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon::onnx {

/// Dimension `axis` of [N, C, ...] in [N, ..., C].
int last_axis(int axis, int dims);
/// The slices of x along `dim` that the numbers name.
Tensor selected(const Tensor& x, int dim, const std::vector<std::int64_t>& indices);
/// x with `before` and `after` more elements along `dim`, or fewer where they are negative.
///   mode  "constant", "reflect" (the edge is not repeated), "edge" or "wrap"
Tensor padded(const Tensor& x, int dim, std::int64_t before, std::int64_t after, const std::string& mode,
              double value);

}  // namespace karyon::onnx
