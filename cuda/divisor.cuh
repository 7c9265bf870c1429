#pragma once
#include <cstdint>

#include <karyon/core/check.h>

namespace karyon::cuda {

/// Division of 0 .. 2^31 - 1 by a fixed number, as a multiplication and a shift (Granlund and Montgomery,
/// 1994).
struct Divisor {
  int value = 1;
  unsigned factor = 1, shift = 0;

  Divisor() = default;
  explicit Divisor(std::int64_t divisor) : value(static_cast<int>(divisor)) {
    check(divisor >= 1 && divisor < std::int64_t{1} << 31, "cuda: expects a size below 2^31, got ", divisor);
    while ((std::uint64_t{1} << shift) < static_cast<std::uint64_t>(divisor)) ++shift;
    factor = static_cast<unsigned>(
        ((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift) - static_cast<std::uint64_t>(divisor))) /
            static_cast<std::uint64_t>(divisor) +
        1);
  }
  __device__ int divide(int n) const {
    const auto u = static_cast<unsigned>(n);
    return static_cast<int>((__umulhi(u, factor) + u) >> shift);
  }
  __device__ int divide(int n, int& rest) const {
    const int quotient = divide(n);
    rest = n - quotient * value;
    return quotient;
  }
};

}  // namespace karyon::cuda
