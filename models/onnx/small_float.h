#pragma once
#include <cstdint>

namespace karyon::onnx {

/// A floating format of at most 16 bits.
struct SmallFloat {
  int exponent_bits, fraction_bits, bias;
  enum Specials { ieee, one_nan, negative_zero_is_nan, none } specials;

  int bits() const { return 1 + exponent_bits + fraction_bits; }
  double largest() const;
  /// The value of a bit pattern, and the nearest value of the format (halves to the even one).
  double decode(std::uint32_t pattern) const;
  double round(double x, bool saturate) const;
};
/// The format of an element type, or null if the type is none of them.
const SmallFloat* small_float(int type);

}  // namespace karyon::onnx
