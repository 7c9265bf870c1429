#pragma once
#include <initializer_list>

#include <karyon/core/ops/dtypes.h>
#include <karyon/core/tensor.h>

// Private: sizes of pools of 1, 2 and 3 dimensions.
namespace karyon::pooling {

/// One dimension of the windows.
struct Window {
  std::int64_t kernel, stride, padding, dilation = 1;
};

/// The windows along a dimension of `size`; 0 where none fits. With ceil_mode the last one may reach beyond
/// the padding. Throws Error, which names `op`, where 64 bits do not hold a size.
inline std::int64_t positions(const char* op, std::int64_t size, const Window& w, bool ceil_mode) {
  const auto& [kernel, stride, padding, dilation] = w;
  const std::int64_t whole =
      window_positions(op, size,
                       {.kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation})
          .h;
  if (!ceil_mode) return whole;
  const std::int64_t end = size + padding;  // windows begin before it
  const std::int64_t rest = end + padding - dilation * (kernel - 1) - 1;
  if (rest < 0) return -rest < stride ? 1 : 0;
  const bool one_more = rest % stride != 0 && stride < end && whole * stride < end;
  return whole + (one_more ? 1 : 0);
}

/// Checks x [N, ..., C] and the windows along its other dimensions.
inline void check_windows(const char* op, const Tensor& x, std::initializer_list<Window> windows,
                          bool ceil_mode) {
  const int dims = static_cast<int>(windows.size());
  check(x.dim() == dims + 2, op, ": expects x ", dims == 1 ? "[N, L, C]" : "[N, D, H, W, C]", ", got ",
        x.shape());
  check_computed(op, x);
  int d = 1;
  for (const auto& [kernel, stride, padding, dilation] : windows) {
    check(kernel >= 1 && stride >= 1 && dilation >= 1, op,
          ": expects kernel, stride and dilation of at least 1, got ", kernel, ", ", stride, " and ",
          dilation);
    check(padding >= 0 && padding <= kernel / 2, op, ": expects a padding of at most half the kernel ",
          kernel, ", got ", padding);
    const std::int64_t size = x.size(d++);
    check(size >= 1 && positions(op, size, {kernel, stride, padding, dilation}, ceil_mode) >= 1, op,
          ": a window of ", kernel, " (padding ", padding, ", dilation ", dilation, ") does not fit in ",
          x.shape());
  }
}

}  // namespace karyon::pooling
