#pragma once
#include <vector>

#include <karyon/core/ops/layout.h>

namespace karyon {

/// So many elements before and after those of one dimension.
struct Border {
  std::int64_t before = 0, after = 0;
};

/// A border in any dimensions: pad() for more than images, as torch.nn.functional.pad.
///   x        any dtype
///   borders  one for each dimension of x: `{{}, {1, 2}, {}}` for sequences [N, L, C]
///   mode     as in pad(); a mode other than `constant` fills one dimension after the other
///   value    of the border, for `constant`
///   returns  before + size + after in each dimension
/// Differentiable where the dtype is floating. Throws Error for negative borders, for those that the mode
/// cannot fill, and unless there is one for each dimension.
Tensor pad_nd(const Tensor& x, const std::vector<Border>& borders, PadMode mode = PadMode::constant,
              double value = 0);

}  // namespace karyon
