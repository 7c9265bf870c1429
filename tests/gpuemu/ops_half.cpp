// f16 and bf16, alone and in pairs. Each operation is computed exactly and rounded once, as devices do.
#include <algorithm>
#include <cmath>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

struct F16 {
  static float to_float(u16 x) { return f16_float(x); }
  static u16 from_double(double x) { return double_f16(x); }
};
struct Bf16 {
  static float to_float(u16 x) { return bf16_float(x); }
  static u16 from_double(double x) { return double_bf16(x); }
};

constexpr u16 sign = 0x8000;

enum class After { nothing, saturate, relu };

template <class Format, After after>
u16 finish(double x) {
  if constexpr (after == After::saturate) x = x > 1 ? 1 : x > 0 ? x : 0;
  if constexpr (after == After::relu) x = x > 0 || x != x ? x : 0;
  return Format::from_double(x);
}

template <class Format, After after>
struct Operations {
  static double value(u16 x) { return Format::to_float(x); }

  static u16 fma(u16 a, u16 b, u16 c) {
    return finish<Format, after>(fused_to_odd(value(a), value(b), value(c)));
  }
  static u16 add(u16 a, u16 b) { return finish<Format, after>(fused_to_odd(value(a), 1, value(b))); }
  static u16 sub(u16 a, u16 b) { return finish<Format, after>(fused_to_odd(value(b), -1, value(a))); }
  static u16 mul(u16 a, u16 b) { return finish<Format, after>(value(a) * value(b)); }
};

template <class Format>
struct Functions {
  static u16 neg(u16 a) { return static_cast<u16>(a ^ sign); }
  static u16 abs(u16 a) { return static_cast<u16>(a & ~sign); }
  static u16 exp2(u16 a) { return Format::from_double(std::exp2(static_cast<double>(Format::to_float(a)))); }
  static u16 tanh(u16 a) { return Format::from_double(std::tanh(static_cast<double>(Format::to_float(a)))); }
};

/// The greater zero is the positive one; a number wins over what is none, unless .NaN is given.
template <class Format, bool greater, bool nan>
u16 extremum(u16 a, u16 b) {
  const float x = Format::to_float(a), y = Format::to_float(b);
  if (x != x) return nan || y != y ? na_n16 : b;
  if (y != y) return nan ? na_n16 : a;
  if (x == y) return greater == ((a & sign) != 0) ? b : a;
  return (x > y) == greater ? a : b;
}

/// A function of single values, for both halves of a pair.
template <auto op, class Function = decltype(+op)>
struct Paired;
template <auto op, class... Arguments>
struct Paired<op, u16 (*)(Arguments...)> {
  template <class>
  using Pair = u32;
  static u32 apply(Pair<Arguments>... x) {
    return u32{op(static_cast<u16>(x >> 16)...)} << 16 | op(static_cast<u16>(x)...);
  }
};

template <auto op>
Handler for_width(bool pair) {
  return pair ? lanewise<Paired<op>::apply> : lanewise<op>;
}

template <class Format>
class HalfDecoder {
 public:
  HalfDecoder(Decoding& d, bool pair) : d_(d), pair_(pair) {}

  bool decode() {
    const std::string& op = d_.opcode();
    if (op == "add" || op == "sub" || op == "mul" || op == "fma") return arithmetic(op);
    if (op == "min" || op == "max") return minimum_or_maximum(op == "max");
    if (op == "neg" || op == "abs" || op == "ex2" || op == "tanh") return function(op);
    return false;
  }

 private:
  Decoding& d_;
  bool pair_;

  void end(std::size_t operands) {
    d_.modifiers.next();
    d_.modifiers.end();
    d_.operands(operands, pair_ ? 4 : 2);
  }

  template <After after>
  Handler operation(const std::string& op) const {
    using O = Operations<Format, after>;
    return op == "add"   ? for_width<O::add>(pair_)
           : op == "sub" ? for_width<O::sub>(pair_)
           : op == "mul" ? for_width<O::mul>(pair_)
                         : for_width<O::fma>(pair_);
  }

  bool arithmetic(const std::string& op) {
    auto& m = d_.modifiers;
    const bool rounded = m.take("rn");
    if (op == "fma" && !rounded) d_.fail("a rounding is missing");
    const bool saturate = m.take("sat"), relu = op == "fma" && m.take("relu");
    d_.in.execute = saturate ? operation<After::saturate>(op)
                    : relu   ? operation<After::relu>(op)
                             : operation<After::nothing>(op);
    end(op == "fma" ? 4 : 3);
    return true;
  }

  bool minimum_or_maximum(bool greater) {
    const bool nan = d_.modifiers.take("NaN");
    if (greater)
      d_.in.execute = nan ? for_width<extremum<Format, true, true>>(pair_)
                          : for_width<extremum<Format, true, false>>(pair_);
    else
      d_.in.execute = nan ? for_width<extremum<Format, false, true>>(pair_)
                          : for_width<extremum<Format, false, false>>(pair_);
    end(3);
    return true;
  }

  bool function(const std::string& op) {
    using F = Functions<Format>;
    if (op == "ex2" || op == "tanh") {
      if (!d_.modifiers.take("approx")) d_.fail("unknown variant of an instruction");
      d_.modifiers.take("ftz");  // only ex2 of bf16 has it, whose subnormal results it would flush
    }
    d_.in.execute = op == "neg"   ? for_width<F::neg>(pair_)
                    : op == "abs" ? for_width<F::abs>(pair_)
                    : op == "ex2" ? for_width<F::exp2>(pair_)
                                  : for_width<F::tanh>(pair_);
    end(2);
    return true;
  }
};

}  // namespace

bool decode_half(Decoding& d) {
  const std::string& type = d.statement.opcode.back();
  if (type == "f16" || type == "f16x2") return HalfDecoder<F16>(d, type == "f16x2").decode();
  if (type == "bf16" || type == "bf16x2") return HalfDecoder<Bf16>(d, type == "bf16x2").decode();
  return false;
}

}  // namespace gpuemu
