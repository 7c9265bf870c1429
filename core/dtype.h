#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>

#include <karyon/core/check.h>

namespace karyon {

/// The upper half of a float: 8 exponent bits, 7 fraction bits. For storage: arithmetic is in float.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  /// Rounds to nearest, ties to even; NaN stays NaN.
  constexpr explicit BFloat16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = static_cast<std::uint16_t>(std::isnan(value) ? (u >> 16) | 0x40u : rounded);
  }
  constexpr explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

/// Element types. `boolean` is stored as one byte, 0 or 1.
enum class DType { f32, f64, bf16, i64, u8, boolean };
inline constexpr DType f32 = DType::f32, f64 = DType::f64, bf16 = DType::bf16, i64 = DType::i64,
                       u8 = DType::u8, boolean = DType::boolean;

/// Bytes of one element.
constexpr std::size_t element_size(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32: return 4;
    case DType::bf16: return 2;
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

constexpr const char* name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::bf16: return "bf16";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::boolean: return "bool";
  }
  return "?";
}
inline std::ostream& operator<<(std::ostream& os, DType dtype) { return os << name(dtype); }

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16;
}

/// The type of sums and statistics of a dtype, and of the parameters beside it (a bias, a norm's weight). It
/// is f32 for bf16, else the dtype itself.
constexpr DType parameter_dtype(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

/// The DType of a C++ element type.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0,
                "not an element type: float, double, BFloat16, std::int64_t, std::uint8_t or bool");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bf16;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;

/// Calls `f.template operator()<T>()` with T = float or double. Throws Error for other types.
template <class F>
decltype(auto) dispatch_floating(DType dtype, const char* op, F&& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  check(dtype == DType::f32, op, ": expects f32 or f64, got ", dtype);
  return f.template operator()<float>();
}

/// Calls `f.template operator()<T>()` with the C++ type of any DType.
template <class F>
decltype(auto) dispatch_all(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64: return f.template operator()<double>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::i64: return f.template operator()<std::int64_t>();
    case DType::u8: return f.template operator()<std::uint8_t>();
    case DType::boolean: return f.template operator()<bool>();
    case DType::f32: break;
  }
  return f.template operator()<float>();
}

}  // namespace karyon
