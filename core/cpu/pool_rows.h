#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>

// Private to core/cpu: rows of 2 x 2 max pools with stride 2 in bf16. They are compiled once for each
// instruction set; a pixel has `c` channels.
namespace karyon::cpu {

/// y is the largest value of each window in the two rows of x; NaN wins. `index` is its position in the
/// window (0 to 3), the first of equal ones.
void max_pool_row(const BFloat16* top, const BFloat16* bottom, std::int64_t outputs, std::int64_t c,
                  BFloat16* y, std::uint8_t* index);
/// dx = dy where `left` (even pixels) or left + 1 (odd ones) won, else 0.
void max_pool_row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs,
                           std::int64_t c, int left, BFloat16* dx);
/// The same added to dx, rounded.
void add_max_pool_row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs,
                               std::int64_t c, int left, BFloat16* dx);

}  // namespace karyon::cpu
