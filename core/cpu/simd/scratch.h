#pragma once
#include <cstdint>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/dtype.h>

namespace karyon::cpu {

/// Memory of the calling thread for at least `floats` floats, aligned to 64 bytes and kept for the next call.
/// Each `slot` (0 to 3) has its own memory. Its contents last until a call asks the slot for more.
float* scratch(std::int64_t floats, int slot);

/// The same memory for `count` bf16.
inline BFloat16* bf16_scratch(std::int64_t count, int slot) {
  return reinterpret_cast<BFloat16*>(scratch(ceil_div(count, 2), slot));
}

}  // namespace karyon::cpu
