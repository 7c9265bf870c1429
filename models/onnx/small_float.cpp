#include <cmath>
#include <limits>

#include <karyon/models/onnx/small_float.h>
#include <karyon/models/onnx/value.h>

namespace karyon::onnx {

const SmallFloat* small_float(int type) {
  static constexpr SmallFloat half{5, 10, 15, SmallFloat::ieee}, brain{8, 7, 127, SmallFloat::ieee},
      e4m3fn{4, 3, 7, SmallFloat::one_nan}, e4m3fnuz{4, 3, 8, SmallFloat::negative_zero_is_nan},
      e5m2{5, 2, 15, SmallFloat::ieee}, e5m2fnuz{5, 2, 16, SmallFloat::negative_zero_is_nan},
      e2m1{2, 1, 1, SmallFloat::none};
  switch (type) {
    case float16: return &half;
    case bfloat16: return &brain;
    case float8e4m3fn: return &e4m3fn;
    case float8e4m3fnuz: return &e4m3fnuz;
    case float8e5m2: return &e5m2;
    case float8e5m2fnuz: return &e5m2fnuz;
    case float4e2m1: return &e2m1;
    default: return nullptr;
  }
}

double SmallFloat::largest() const {
  const int top = (1 << exponent_bits) - 1 - bias - (specials == ieee ? 1 : 0);
  const double step = std::ldexp(1.0, -fraction_bits);
  return std::ldexp(2 - step * (specials == one_nan ? 2 : 1), top);
}

double SmallFloat::decode(std::uint32_t pattern) const {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::uint32_t fraction = pattern & ((1u << fraction_bits) - 1);
  const std::uint32_t exponent = (pattern >> fraction_bits) & ((1u << exponent_bits) - 1);
  const bool negative = (pattern >> (bits() - 1)) & 1, full = exponent == (1u << exponent_bits) - 1;
  if (specials == ieee && full) return fraction != 0 ? nan : negative ? -INFINITY : INFINITY;
  if (specials == one_nan && full && fraction == (1u << fraction_bits) - 1) return nan;
  if (specials == negative_zero_is_nan && negative && exponent == 0 && fraction == 0) return nan;
  const double digits = fraction + (exponent == 0 ? 0 : std::ldexp(1.0, fraction_bits));
  const double size =
      std::ldexp(digits, static_cast<int>(exponent == 0 ? 1 : exponent) - bias - fraction_bits);
  return negative ? -size : size;
}

double SmallFloat::round(double x, bool saturate) const {
  if (std::isnan(x)) return specials == none ? -0.0 : x;
  const double most = largest(), size = std::fabs(x);
  double y = size;
  if (std::isfinite(size) && size != 0) {
    int exponent = 0;
    std::frexp(size, &exponent);  // size = f 2^exponent, f in [0.5, 1)
    const int step = std::max(exponent - 1, 1 - bias) - fraction_bits;
    y = std::ldexp(std::nearbyint(std::ldexp(size, -step)), step);
  }
  if (y > most) {
    if (saturate || specials == none)
      y = most;
    else if (specials == ieee)
      y = INFINITY;
    else
      return std::numeric_limits<double>::quiet_NaN();
  }
  if (y == 0 && specials == negative_zero_is_nan) return 0;
  return std::copysign(y, x);
}

}  // namespace karyon::onnx
