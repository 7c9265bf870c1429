#pragma once
#include <cstdint>

namespace karyon::cpu {

/// Memory of the calling thread for at least `floats` floats, aligned to 64 bytes and kept for the next call.
/// Each `slot` (0 to 3) is a memory of its own; its contents last until the slot is asked for more.
float* scratch(std::int64_t floats, int slot);

}  // namespace karyon::cpu
