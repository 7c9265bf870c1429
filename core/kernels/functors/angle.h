#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

// Sine, cosine and tangent of floats of any size. The C library's would take stack memory on a GPU.
namespace karyon::functors {

/// x = quarter pi / 2 + rest, with |rest| <= pi / 4; only the last two bits of `quarter` count.
struct Angle {
  float rest;
  std::int32_t quarter;
};

/// 32 bits of 2 / pi, from the bit 32 (i - 1) after the point.
constexpr std::uint32_t two_over_pi(int i) {
  return i < 4 ? (i < 2 ? (i < 1 ? 0u : 0xa2f9836eu) : (i < 3 ? 0x4e441529u : 0xfc2757d1u))
               : (i < 6 ? (i < 5 ? 0xf534ddc0u : 0xdb629599u) : (i < 7 ? 0x3c439041u : 0xfe5163abu));
}

/// The angle of a finite x of 2^20 or more: x 2 / pi in whole numbers, without the bits of 2 / pi that only
/// give whole turns (Payne and Hanek, 1983).
constexpr Angle far_angle(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint64_t digits = (bits & 0x7fffffu) | 0x800000u;  // x = digits 2^scale
  const int scale = static_cast<int>(bits >> 23 & 255u) - 150, first = scale + 30;
  const auto word = [=](int i) {
    const int at = first / 32 + i;
    const std::uint64_t both = std::uint64_t{two_over_pi(at)} << 32 | two_over_pi(at + 1);
    return both << (first % 32) >> 32;
  };
  const std::uint64_t low = digits * word(2), middle = digits * word(1) + (low >> 32);
  const std::uint64_t high = digits * word(0) + (middle >> 32);
  const std::uint64_t turns = high << 32 | (middle & 0xffffffffu);  // in units of 2^-62 quarters
  const auto fraction = static_cast<std::int64_t>(turns << 2);      // of a quarter, from -1/2 to 1/2
  const double rest = static_cast<double>(fraction) * (0x1p-64 * 1.57079632679489661923);
  const auto quarter = static_cast<std::int32_t>(turns >> 62) + (fraction < 0 ? 1 : 0);
  const bool negative = bits >> 31 != 0;
  return {static_cast<float>(negative ? -rest : rest), negative ? -quarter : quarter};
}

constexpr Angle angle(float x) {
  if (x > 0x1p20f || x < -0x1p20f) {
    if (x - x != 0) return {x - x, 0};  // of infinity: NaN
    return far_angle(x);
  }
  // pi / 2 in two parts: the product with the first is exact.
  constexpr double round = 0x1.8p52;
  const double shifted = static_cast<double>(x) * 0.63661977236758134308 + round, n = shifted - round;
  const double rest = (static_cast<double>(x) - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
  return {static_cast<float>(rest), static_cast<std::int32_t>(n)};
}

/// The series of sine and cosine for |r| <= pi / 4.
constexpr float sine_series(float r) {
  const float z = r * r;
  return r + r * (z * (-1 / 6.0f + z * (1 / 120.0f + z * (-1 / 5040.0f + z / 362880.0f))));
}
constexpr float cosine_series(float r) {
  const float z = r * r;
  return 1 + z * (-0.5f + z * (1 / 24.0f + z * (-1 / 720.0f + z * (1 / 40320.0f - z / 3628800.0f))));
}

/// sin(x + quarters pi / 2), for 0 or 1 quarters.
template <class T>
constexpr T sine(T x, int quarters) {
  if constexpr (std::is_same_v<T, float>) {
    const Angle a = angle(x);
    const std::int32_t q = a.quarter + quarters;
    const float value = q & 1 ? cosine_series(a.rest) : sine_series(a.rest);
    return q & 2 ? -value : value;
  } else {
    return quarters == 0 ? std::sin(x) : std::cos(x);
  }
}

template <class T>
constexpr T tangent(T x) {
  if constexpr (std::is_same_v<T, float>) {
    const Angle a = angle(x);
    const float s = sine_series(a.rest), c = cosine_series(a.rest);
    return a.quarter & 1 ? -c / s : s / c;
  } else {
    return std::tan(x);
  }
}

}  // namespace karyon::functors
