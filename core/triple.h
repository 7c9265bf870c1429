#pragma once
#include <cstdint>
#include <ostream>

namespace karyon {

/// A depth, a height and a width; one number sets all three: `{.stride = 2}`, `{.stride = {1, 2, 2}}`.
struct Triple {
  std::int64_t d = 0, h = 0, w = 0;
  constexpr Triple(std::int64_t all) : d(all), h(all), w(all) {}
  constexpr Triple(std::int64_t depth, std::int64_t height, std::int64_t width)
      : d(depth), h(height), w(width) {}
  friend constexpr bool operator==(const Triple&, const Triple&) = default;
  friend std::ostream& operator<<(std::ostream& os, const Triple& t) {
    return os << '(' << t.d << ", " << t.h << ", " << t.w << ')';
  }
};

}  // namespace karyon
