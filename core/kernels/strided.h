#pragma once
#include <vector>

#include <karyon/core/kernels/layout.h>

namespace karyon::kernels {

/// How far the elements of a dense array are apart in each dimension.
inline std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.dims()));
  std::int64_t stride = 1;
  for (int d = shape.dims() - 1; d >= 0; --d) {
    strides[static_cast<std::size_t>(d)] = stride;
    stride *= shape[d];
  }
  return strides;
}

/// copy_strided along any axes, of which some may be empty. Neighbours that lie like one axis in both are
/// merged.
inline void copy_along(const Tensor& x, Tensor& y, std::int64_t from, std::int64_t to,
                       const std::vector<Axis>& axes) {
  std::vector<Axis> merged;
  for (const Axis& next : axes) {
    if (next.size == 0) return;
    if (next.size == 1) continue;
    if (!merged.empty() && merged.back().from_stride == next.size * next.from_stride &&
        merged.back().to_stride == next.size * next.to_stride) {
      merged.back() = {merged.back().size * next.size, next.from_stride, next.to_stride};
    } else {
      merged.push_back(next);
    }
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  copy_strided(x, y, from, to, merged);
}

}  // namespace karyon::kernels
