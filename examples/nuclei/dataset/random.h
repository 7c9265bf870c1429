#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace nuclei {

/// SplitMix64 (Steele, Lea and Flood 2014). The distributions of the standard library differ
/// between implementations, these do not: one seed means one sequence everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1), with 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in [0, count); count > 0.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(next() % count); }

  /// Mean 0, variance 1, nearly normal: four uniforms added, so that no library function is asked.
  double normal() {
    constexpr double scale = 1.7320508075688772;  // sqrt(12 / 4)
    return (uniform() + uniform() + uniform() + uniform() - 2) * scale;
  }

  /// A uniformly random direction, as (cos, sin).
  std::array<double, 2> direction() {
    for (;;) {
      const double x = uniform(-1, 1), y = uniform(-1, 1), squared = x * x + y * y;
      if (squared > 1 || squared < 1e-6) continue;
      const double length = std::sqrt(squared);
      return {x / length, y / length};
    }
  }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t state_;
};

}  // namespace nuclei
