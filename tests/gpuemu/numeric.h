#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// Number formats that C++20 does not have, and PTX's rules for NaN and for flushing.
namespace gpuemu {

constexpr std::uint32_t na_n32 = 0x7fffffff;  // the NaN that PTX arithmetic gives
constexpr std::uint16_t na_n16 = 0x7fff;      // of f16 and of bf16

inline float bits_float(std::uint32_t b) { return std::bit_cast<float>(b); }
inline std::uint32_t float_bits(float f) { return std::bit_cast<std::uint32_t>(f); }

/// f32 arithmetic gives one NaN whatever came in; f64 keeps the payload of an operand.
inline float canonical(float x) { return x != x ? bits_float(na_n32) : x; }
inline double canonical(double x) { return x; }

/// .ftz: subnormal numbers become zeros of the same sign.
inline float flush(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

inline float bf16_float(std::uint16_t b) { return bits_float(static_cast<std::uint32_t>(b) << 16); }

/// To nearest, ties to even.
inline std::uint16_t float_bf16(float f) {
  const std::uint32_t b = float_bits(f);
  if (f != f) return na_n16;
  return static_cast<std::uint16_t>((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

/// Towards zero.
inline std::uint16_t float_bf16_truncated(float f) {
  return f != f ? na_n16 : static_cast<std::uint16_t>(float_bits(f) >> 16);
}

inline float f16_float(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ffu;
  if (exponent == 31) return bits_float(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
  const float value = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -value : value;
}

/// A double to `fraction_bits` of fraction and a smallest exponent, ties to even or towards zero. Exact in
/// double.
inline double round_to_format(double x, int fraction_bits, int min_exponent, bool to_zero) {
  if (x == 0 || x != x || std::isinf(x)) return x;
  const int exponent = std::max(std::ilogb(x), min_exponent);
  const double unit = std::ldexp(1.0, exponent - fraction_bits);
  const double scaled = x / unit;
  return std::copysign((to_zero ? std::trunc(scaled) : std::nearbyint(scaled)) * unit, x);
}

inline std::uint16_t double_f16(double x, bool to_zero = false) {
  if (x != x) return na_n16;
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double r = std::fabs(round_to_format(x, 10, -14, to_zero));
  if (r >= 65536.0) {
    const bool infinite = !to_zero || std::isinf(x);
    return static_cast<std::uint16_t>(sign | (infinite ? 0x7c00 : 0x7bff));
  }
  if (r < 0x1p-14) return static_cast<std::uint16_t>(sign | static_cast<unsigned>(r * 0x1p24));
  const int exponent = std::ilogb(r);
  const auto fraction = static_cast<unsigned>(std::ldexp(r, 10 - exponent)) & 0x3ffu;
  return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 15) << 10 | fraction);
}

/// a * b + c of numbers with at most 24 bits of fraction, rounded to odd: a later rounding to 22 bits or
/// fewer is then as good as one rounding of the exact value.
inline double fused_to_odd(double a, double b, double c) {
  const double product = a * b, sum = product + c;  // the product is exact
  if (!std::isfinite(sum)) return sum;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (c - back);
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  if (error == 0 || (bits & 1) != 0) return sum;
  return std::bit_cast<double>((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

inline std::uint16_t double_bf16(double x) {
  if (x != x) return na_n16;
  // Down to 24 bits to odd, which leaves the second rounding exact.
  float f = static_cast<float>(x);
  const double back = f;
  if (std::isfinite(f) && back != x && (float_bits(f) & 1) == 0) {
    const std::uint32_t b = float_bits(f);
    if (f == 0)
      f = std::copysign(bits_float(1), static_cast<float>(x < 0 ? -1 : 1));
    else
      f = bits_float((std::fabs(x) > std::fabs(back)) ? b + 1 : b - 1);
  }
  return float_bf16(f);
}

/// 10 bits of fraction, ties away from zero: cvt.rna.tf32.f32.
inline std::uint32_t float_tf32(float f) {
  if (f != f) return na_n32;
  const std::uint32_t b = float_bits(f);
  return std::isinf(f) ? b : (b + 0x1000) & 0xffffe000u;
}

}  // namespace gpuemu
