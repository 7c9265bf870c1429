#pragma once
#include <karyon/core/kernels/index.h>

namespace karyon::functors {

/// The formula of kernels::locate, written once for every device.
struct Locate {
  kernels::IndexedDim dim;
  constexpr std::int64_t operator()(std::int64_t index, std::int64_t base) const {
    const std::int64_t i = dim.from_end && index < 0 ? index + dim.size : index;
    return i < 0 || i >= dim.size || base < 0 ? std::int64_t{-1} : base + i * dim.stride;
  }
};

}  // namespace karyon::functors
