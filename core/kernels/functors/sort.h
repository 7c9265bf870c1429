#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include <karyon/core/dtype.h>

namespace karyon::functors {

template <class T>
using OrderKey =
    std::conditional_t<std::is_same_v<T, float> || std::is_same_v<T, BFloat16>, std::uint32_t, std::uint64_t>;

/// An unsigned number in the order of x: NaN is the last, and -0 is 0.
template <class T>
constexpr OrderKey<T> order_key(T x) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return order_key(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    using Key = OrderKey<T>;
    constexpr Key sign = Key{1} << (8 * sizeof(Key) - 1);
    if (x != x) return static_cast<Key>(~Key{0});
    const Key bits = std::bit_cast<Key>(x == 0 ? T(0) : x);
    return static_cast<Key>(bits & sign ? ~bits : bits | sign);
  } else {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(x)) ^ std::uint64_t{1} << 63;
  }
}

}  // namespace karyon::functors
