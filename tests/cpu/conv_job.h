#pragma once
#include <karyon/core/kernels/conv.h>

namespace karyon::test {

/// A convolution by its input and its options.
struct ConvJob {
  std::int64_t n, h, w, c, k;
  Pair kernel, stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
};

/// The same with the size of the output.
inline ConvGeometry geometry(const ConvJob& j) {
  const Pair out = window_positions(
      "test", {j.h, j.w},
      {.kernel = j.kernel, .stride = j.stride, .padding = j.padding, .dilation = j.dilation});
  return {.n = j.n,
          .h = j.h,
          .w = j.w,
          .c = j.c,
          .h_out = out.h,
          .w_out = out.w,
          .k = j.k,
          .kernel = j.kernel,
          .stride = j.stride,
          .padding = j.padding,
          .dilation = j.dilation,
          .groups = j.groups};
}

}  // namespace karyon::test
