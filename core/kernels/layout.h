#pragma once
#include <vector>

#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/layout.h>

namespace karyon::kernels {

/// Runs of `length` elements, `rows` of them for each of `outer`; offsets and strides in elements.
struct CopyRuns {
  struct Side {
    std::int64_t offset = 0, outer_stride = 0, row_stride = 0;
  };
  std::int64_t outer = 1, rows = 1, length = 0;
  Side from = {}, to = {};
};

/// One loop of a copy. The strides are in elements and may be 0 or negative.
struct Axis {
  std::int64_t size, from_stride, to_stride;
};
inline constexpr int max_axes = 2 * Shape::max_dims;

/// Copies the runs from x into y; same dtype (any). Elements of y outside the runs keep their values.
extern Kernel<void(const Tensor& x, Tensor& y, const CopyRuns& runs)> copy_runs;
/// Copies element `from` + sum of i_d from_stride_d of x to element `to` + sum of i_d to_stride_d of y, for
/// all indices i_d below the axes' sizes; same dtype (any). There are 1 to max_axes axes, the outermost
/// first, each of 1 element or more. No two go to one element of y; the elements of y between keep their
/// values.
extern Kernel<void(const Tensor& x, Tensor& y, std::int64_t from, std::int64_t to,
                   const std::vector<Axis>& axes)>
    copy_strided;
/// y = x with dimensions reordered; any dtype; `order` is a permutation.
extern Kernel<void(const Tensor& x, Tensor& y, const std::vector<int>& order)> permute;
/// y = x mirrored outwards; any dtype.
extern Kernel<void(const Tensor& x, Tensor& y, const Pad2d& border)> pad_reflect;
/// dx = dy with its border summed into the pixels it mirrors; f32 or f64.
extern Kernel<void(const Tensor& dy, Tensor& dx, const Pad2d& border)> pad_reflect_backward;

}  // namespace karyon::kernels
