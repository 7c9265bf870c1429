#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>

namespace karyon::cpu {

/// Calls f.template operator()<T>() with an unsigned type as wide as the dtype: values that only move need no
/// other.
template <class F>
void dispatch_width(DType dtype, F f) {
  switch (element_size(dtype)) {
    case 1: return f.template operator()<std::uint8_t>();
    case 2: return f.template operator()<std::uint16_t>();
    case 4: return f.template operator()<std::uint32_t>();
    default: return f.template operator()<std::uint64_t>();
  }
}

}  // namespace karyon::cpu
