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

/// The half of IEEE 754: 5 exponent bits, 10 fraction bits. For storage: arithmetic is in float.
struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  /// Rounds to nearest, ties to even; from 65520 on to infinity. NaN stays NaN.
  constexpr explicit Float16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = u & 0x7fffffffu;
    std::uint32_t rounded;
    if (magnitude > 0x7f800000u) {
      rounded = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x47800000u) {  // 2^16
      rounded = 0x7c00u;
    } else if (magnitude < 0x38800000u) {
      // Below 2^-14 the last place is 2^-24, as it is of floats from 0.5 to 1: the sum is rounded there.
      rounded = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    } else {
      rounded = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    bits = static_cast<std::uint16_t>(((u >> 16) & 0x8000u) | rounded);
  }
  constexpr explicit operator float() const {
    const std::uint32_t magnitude = bits & 0x7fffu;
    std::uint32_t wide;
    if (magnitude >= 0x7c00u) {
      wide = (magnitude << 13) + 0x70000000u;
    } else if (magnitude >= 0x400u) {
      wide = (magnitude << 13) + 0x38000000u;
    } else {
      wide = std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
    }
    return std::bit_cast<float>(((bits & 0x8000u) << 16) | wide);
  }
};

/// Element types. `boolean` is stored as one byte, 0 or 1.
enum class DType { f32, f64, bf16, i64, u8, boolean, f16, i32 };
inline constexpr DType f32 = DType::f32, f64 = DType::f64, bf16 = DType::bf16, i64 = DType::i64,
                       u8 = DType::u8, boolean = DType::boolean, f16 = DType::f16, i32 = DType::i32;

/// Bytes of one element.
constexpr std::size_t element_size(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
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
    case DType::f16: return "f16";
    case DType::i32: return "i32";
  }
  return "?";
}
inline std::ostream& operator<<(std::ostream& os, DType dtype) { return os << name(dtype); }

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16 || dtype == DType::f16;
}
/// What indices and labels may be: i64 or i32.
constexpr bool is_index(DType dtype) { return dtype == DType::i64 || dtype == DType::i32; }

/// The type of sums and statistics of a dtype, and of the parameters beside it (a bias, a norm's weight). It
/// is f32 for bf16 and f16, else the dtype itself.
constexpr DType parameter_dtype(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16 ? DType::f32 : dtype;
}

/// The type that kernels compute with in place of a dtype: f32 for f16 and i64 for i32, which are for
/// storage; else the dtype itself.
constexpr DType kernel_dtype(DType dtype) {
  return dtype == DType::f16 ? DType::f32 : dtype == DType::i32 ? DType::i64 : dtype;
}

/// The DType of a C++ element type.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0,
                "not an element type: float, double, BFloat16, Float16, std::int64_t, std::int32_t, "
                "std::uint8_t or bool");
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
template <>
inline constexpr DType dtype_of<Float16> = DType::f16;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;

/// Calls `f.template operator()<T>()` with T = float or double. Throws Error for other types.
template <class F>
decltype(auto) dispatch_floating(DType dtype, const char* op, F&& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  check(dtype == DType::f32, op, ": expects f32 or f64, got ", dtype);
  return f.template operator()<float>();
}

/// Calls `f.template operator()<T>()` with the C++ type of a dtype that kernels compute with. Throws Error for
/// f16 and i32.
template <class F>
decltype(auto) dispatch_kernel_dtype(DType dtype, const char* op, F&& f) {
  check(dtype == kernel_dtype(dtype), op, ": has no kernel for ", dtype, "; cast it by .to(",
        kernel_dtype(dtype), ")");
  switch (dtype) {
    case DType::f64: return f.template operator()<double>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::i64: return f.template operator()<std::int64_t>();
    case DType::u8: return f.template operator()<std::uint8_t>();
    case DType::boolean: return f.template operator()<bool>();
    default: return f.template operator()<float>();
  }
}

/// Calls `f.template operator()<T>()` with the C++ type of any DType.
template <class F>
decltype(auto) dispatch_all(DType dtype, F&& f) {
  if (dtype == DType::f16) return f.template operator()<Float16>();
  if (dtype == DType::i32) return f.template operator()<std::int32_t>();
  return dispatch_kernel_dtype(dtype, "dispatch_all", f);
}

}  // namespace karyon
