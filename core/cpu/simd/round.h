#pragma once
#include <type_traits>

// Private to core/cpu: whole numbers divided and rounded up. Both take a >= 0 and b > 0.
namespace karyon::cpu {

/// a / b, rounded up.
template <class T>
constexpr T ceil_div(T a, std::type_identity_t<T> b) {
  return static_cast<T>(a / b + (a % b != 0 ? 1 : 0));  // a + b - 1 could be too large
}

/// The least multiple of b that is not less than a.
template <class T>
constexpr T round_up(T a, std::type_identity_t<T> b) {
  return ceil_div(a, b) * b;
}

}  // namespace karyon::cpu
