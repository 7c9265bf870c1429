// Integer arithmetic and bits. Registers hold two's complement; PTX defines every result, also where C++
// would not.
#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <type_traits>

#include "lanewise.h"

namespace gpuemu {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Double = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, s32, u32>,
                                  std::conditional_t<std::is_signed_v<T>, s64, u64>>;
template <class T>
constexpr int bits = sizeof(T) * 8;

template <class T>
T add(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <class T>
T subtract(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
}
template <class T>
T multiply_low(T a, T b) {
  return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b));
}
template <class T>
T multiply_high(T a, T b) {
  __extension__ using s128 = __int128;
  __extension__ using u128 = unsigned __int128;
  if constexpr (sizeof(T) == 8 && std::is_signed_v<T>)
    return static_cast<T>(static_cast<s128>(a) * b >> 64);
  else if constexpr (sizeof(T) == 8)
    return static_cast<T>(static_cast<u128>(a) * b >> 64);
  else
    return static_cast<T>(static_cast<Double<T>>(a) * static_cast<Double<T>>(b) >> bits<T>);
}
template <class T>
Double<T> multiply_wide(T a, T b) {
  return static_cast<Double<T>>(a) * static_cast<Double<T>>(b);
}
template <class T>
T divide(T a, T b) {
  if (b == 0) return static_cast<T>(-1);  // what devices give
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return subtract<T>(0, a);
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}
template <class T>
T absolute(T a) {
  return a < 0 ? subtract<T>(0, a) : a;
}
template <class T>
T difference(T a, T b) {
  return a < b ? subtract(b, a) : subtract(a, b);
}
s32 add_saturated(s32 a, s32 b) {
  return static_cast<s32>(
      std::clamp<s64>(s64{a} + b, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()));
}
s32 subtract_saturated(s32 a, s32 b) {
  return static_cast<s32>(
      std::clamp<s64>(s64{a} - b, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()));
}

// Shifts of as many bits as there are, or more, leave nothing, or the sign.
template <class T>
T shift_left(T a, u32 n) {
  return n >= bits<T> ? 0 : static_cast<T>(static_cast<Unsigned<T>>(a) << n);
}
template <class T>
T shift_right(T a, u32 n) {
  if constexpr (std::is_signed_v<T>)
    return static_cast<T>(a >> std::min<u32>(n, bits<T> - 1));
  else
    return n >= bits<T> ? 0 : static_cast<T>(a >> n);
}
u32 funnel(u32 low, u32 high, u32 left) {
  const u64 both = u64{high} << 32 | low;
  return static_cast<u32>(both << left >> 32);
}
u32 funnel_right(u32 low, u32 high, u32 right) { return static_cast<u32>((u64{high} << 32 | low) >> right); }

/// `length` bits from bit `position` on, the last of them (or the highest bit) repeated above if signed.
template <class T>
T extract_bits(T a, u32 position, u32 length) {
  position &= 255;
  length &= 255;
  if (length == 0) return 0;
  constexpr u32 highest = bits<T> - 1;
  const u64 fill =
      std::is_signed_v<T> && (a >> std::min(position + length - 1, highest) & 1) != 0 ? ~u64{0} : 0;
  const u64 field = position > highest ? fill : static_cast<Unsigned<T>>(a) >> position;
  const u32 valid = position > highest ? 0 : std::min(length, highest + 1 - position);
  const u64 keep = valid >= 64 ? ~u64{0} : (u64{1} << valid) - 1;
  return static_cast<T>((field & keep) | (fill & ~keep));
}
template <class T>
T insert_bits(T field, T into, u32 position, u32 length) {
  position &= 255;
  length &= 255;
  if (position >= bits<T> || length == 0) return into;
  const T ones = length >= bits<T> ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
  const T where = static_cast<T>(ones << position);
  return static_cast<T>((into & ~where) | (static_cast<T>(field << position) & where));
}
template <class T>
u32 find_bit(T a) {  // the highest that differs from the sign; none: all ones
  const auto v = static_cast<Unsigned<T>>(a < 0 ? ~a : a);
  return v == 0 ? ~u32{0} : static_cast<u32>(bits<T> - 1 - std::countl_zero(v));
}
template <class T>
u32 find_bit_shift(T a) {
  const u32 bit = find_bit(a);
  return bit == ~u32{0} ? bit : bits<T> - 1 - bit;
}
template <class T>
T reverse(T a) {
  T r = 0;
  for (int i = 0; i < bits<T>; ++i) r = static_cast<T>(r << 1 | (a >> i & 1));
  return r;
}
u32 permute(u32 a, u32 b, u32 selector) {
  const u64 bytes = u64{b} << 32 | a;
  u32 r = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 s = selector >> (4 * i) & 15;
    u32 byte = static_cast<u32>(bytes >> (8 * (s & 7))) & 255;
    if ((s & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    r |= byte << (8 * i);
  }
  return r;
}
template <class A, class B>
s32 dot4(u32 a, u32 b, s32 c) {
  u32 sum = static_cast<u32>(c);
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<u32>(s32{static_cast<A>(a >> i)} * s32{static_cast<B>(b >> i)});
  return static_cast<s32>(sum);
}

void lop3(Warp& w, const Instruction& in, Mask mask) {
  const u32 *a = w.lanes<u32>(in.reg[1]), *b = w.lanes<u32>(in.reg[2]), *c = w.lanes<u32>(in.reg[3]);
  u32 out[lane_count];
  for (int l = 0; l < lane_count; ++l) {
    u32 r = 0;
    for (u32 row = 0; row < 8; ++row)
      if ((in.mode >> row & 1) != 0)
        r |= ((row & 4) != 0 ? a[l] : ~a[l]) & ((row & 2) != 0 ? b[l] : ~b[l]) &
             ((row & 1) != 0 ? c[l] : ~c[l]);
    out[l] = r;
  }
  w.store(in.reg[0], out, mask);
}

bool integer_type(std::string_view t) { return t[0] == 'u' || t[0] == 's'; }

/// add, sub, min, max, div, rem, mul.lo, ...: one type, two operands.
template <class Select>
void binary(Decoding& d, const std::string& type, Select select) {
  d.in.execute = for_integer(type, select);
  d.modifiers.end();
  d.operands(3, type_bytes(type));
}

bool decode_arithmetic(Decoding& d) {
  const std::string& op = d.opcode();
  auto& m = d.modifiers;
  if (!integer_type(d.statement.opcode.back())) return false;
  if (op == "add" || op == "sub") {
    const bool saturate = m.take("sat");
    const std::string type = m.next();
    if (saturate) {
      if (type != "s32") d.fail("unknown variant of an instruction");
      binary(d, type, []<class>() { return lanewise<add_saturated>; });
      if (op == "sub") d.in.execute = lanewise<subtract_saturated>;
    } else if (op == "add") {
      binary(d, type, []<class T>() { return lanewise<add<T>>; });
    } else {
      binary(d, type, []<class T>() { return lanewise<subtract<T>>; });
    }
  } else if (op == "min") {
    binary(d, m.next(), []<class T>() { return lanewise<[](T a, T b) { return b < a ? b : a; }>; });
  } else if (op == "max") {
    binary(d, m.next(), []<class T>() { return lanewise<[](T a, T b) { return a < b ? b : a; }>; });
  } else if (op == "div") {
    binary(d, m.next(), []<class T>() { return lanewise<divide<T>>; });
  } else if (op == "rem") {
    binary(d, m.next(), []<class T>() { return lanewise<remainder<T>>; });
  } else if (op == "neg" || op == "abs") {
    const std::string type = m.next();
    m.end();
    d.in.execute =
        op == "neg"
            ? for_integer(type, []<class T>() { return lanewise<[](T a) { return subtract<T>(0, a); }>; })
            : for_integer(type, []<class T>() { return lanewise<absolute<T>>; });
    d.operands(2, type_bytes(type));
  } else if (op == "sad") {
    const std::string type = m.next();
    m.end();
    d.in.execute = for_integer(
        type, []<class T>() { return lanewise<[](T a, T b, T c) { return add(difference(a, b), c); }>; });
    d.operands(4, type_bytes(type));
  } else {
    return false;
  }
  return true;
}

bool decode_multiply(Decoding& d) {
  const std::string& op = d.opcode();
  if ((op != "mul" && op != "mad") || !integer_type(d.statement.opcode.back())) return false;
  auto& m = d.modifiers;
  const bool mad = op == "mad";
  const std::string part = m.take_one_of("lo hi wide");
  const std::string type = m.next();
  m.end();
  const std::size_t bytes = type_bytes(type);
  if (part == "wide") {
    if (bytes == 8) d.fail("unknown variant of an instruction");
    d.expect_operands(mad ? 4 : 3, mad ? 4 : 3);
    d.in.reg = {d.operand_reg(0, 2 * bytes), d.operand_reg(1, bytes), d.operand_reg(2, bytes)};
    if (mad) d.in.reg[3] = d.operand_reg(3, 2 * bytes);
    const auto select = [mad]<class T>() -> Handler {
      if constexpr (sizeof(T) == 8)
        return nullptr;
      else if (mad)
        return lanewise<[](T a, T b, Double<T> c) { return add(multiply_wide(a, b), c); }>;
      else
        return lanewise<multiply_wide<T>>;
    };
    d.in.execute = for_integer(type, select);
    return true;
  }
  if (part.empty()) d.fail("unknown variant of an instruction");
  d.operands(mad ? 4 : 3, bytes);
  const bool low = part == "lo";
  d.in.execute = for_integer(type, [mad, low]<class T>() -> Handler {
    if (mad && low) return lanewise<[](T a, T b, T c) { return add(multiply_low(a, b), c); }>;
    if (mad) return lanewise<[](T a, T b, T c) { return add(multiply_high(a, b), c); }>;
    return low ? lanewise<multiply_low<T>> : lanewise<multiply_high<T>>;
  });
  return true;
}

/// Shifts, whose amount is always a u32.
bool decode_shift(Decoding& d) {
  const std::string& op = d.opcode();
  auto& m = d.modifiers;
  if (op == "shf") {
    const bool left = m.take("l");
    if (!left && !m.take("r")) d.fail("unknown variant of an instruction");
    const bool clamp = m.take("clamp");
    if (!clamp && !m.take("wrap")) d.fail("unknown variant of an instruction");
    if (m.next() != "b32") d.fail("unknown variant of an instruction");
    m.end();
    d.operands(4, 4);
    if (left)
      d.in.execute = clamp ? lanewise<[](u32 a, u32 b, u32 n) { return n >= 32 ? a : funnel(a, b, n); }>
                           : lanewise<[](u32 a, u32 b, u32 n) { return funnel(a, b, n & 31); }>;
    else
      d.in.execute = clamp ? lanewise<[](u32 a, u32 b, u32 n) { return n >= 32 ? b : funnel_right(a, b, n); }>
                           : lanewise<[](u32 a, u32 b, u32 n) { return funnel_right(a, b, n & 31); }>;
    return true;
  }
  if (op != "shl" && op != "shr") return false;
  const std::string type = m.next();
  m.end();
  d.expect_operands(3, 3);
  const std::size_t bytes = type_bytes(type);
  d.in.reg = {d.operand_reg(0, bytes), d.operand_reg(1, bytes), d.operand_reg(2, 4)};
  const auto left = []<class T>() { return lanewise<shift_left<T>>; };
  const auto right = []<class T>() { return lanewise<shift_right<T>>; };
  if (type[0] == 'b')
    d.in.execute = op == "shl" ? for_bits(type, left) : for_bits(type, right);
  else if (op == "shr")
    d.in.execute = for_integer(type, right);
  return true;
}

bool decode_bit_field(Decoding& d) {
  const std::string& op = d.opcode();
  auto& m = d.modifiers;
  auto& in = d.in;
  if (op == "bfe") {
    const std::string type = m.next();
    m.end();
    d.expect_operands(4, 4);
    const std::size_t bytes = type_bytes(type);
    in.reg = {d.operand_reg(0, bytes), d.operand_reg(1, bytes), d.operand_reg(2, 4), d.operand_reg(3, 4)};
    if (bytes >= 4) in.execute = for_integer(type, []<class T>() { return lanewise<extract_bits<T>>; });
  } else if (op == "bfi") {
    const std::string type = m.next();
    m.end();
    d.expect_operands(5, 5);
    const std::size_t bytes = type_bytes(type);
    in.reg = {d.operand_reg(0, bytes), d.operand_reg(1, bytes), d.operand_reg(2, bytes), d.operand_reg(3, 4),
              d.operand_reg(4, 4)};
    if (bytes >= 4) in.execute = for_bits(type, []<class T>() { return lanewise<insert_bits<T>>; });
  } else if (op == "bfind") {
    const bool shift = m.take("shiftamt");
    const std::string type = m.next();
    m.end();
    d.expect_operands(2, 2);
    in.reg = {d.operand_reg(0, 4), d.operand_reg(1, type_bytes(type))};
    in.execute = for_integer(
        type, [shift]<class T>() { return shift ? lanewise<find_bit_shift<T>> : lanewise<find_bit<T>>; });
  } else {
    return false;
  }
  return true;
}

bool decode_bits(Decoding& d) {
  if (d.statement.opcode.back() == "pred") return false;
  if (decode_bit_field(d)) return true;
  const std::string& op = d.opcode();
  auto& m = d.modifiers;
  auto& in = d.in;
  if (op == "popc" || op == "clz") {
    const std::string type = m.next();
    m.end();
    d.expect_operands(2, 2);
    in.reg = {d.operand_reg(0, 4), d.operand_reg(1, type_bytes(type))};
    const bool count = op == "popc";
    in.execute = for_bits(type, [count]<class T>() {
      return count ? lanewise<[](T a) { return static_cast<u32>(std::popcount(a)); }>
                   : lanewise<[](T a) { return static_cast<u32>(std::countl_zero(a)); }>;
    });
  } else if (op == "brev") {
    const std::string type = m.next();
    m.end();
    d.operands(2, type_bytes(type));
    in.execute = for_bits(type, []<class T>() { return lanewise<reverse<T>>; });
  } else if (op == "prmt") {
    if (m.next() != "b32") d.fail("unknown variant of an instruction");
    m.end();
    d.operands(4, 4);
    in.execute = lanewise<permute>;
  } else if (op == "lop3") {
    if (m.next() != "b32") d.fail("unknown variant of an instruction");
    m.end();
    d.expect_operands(5, 5);
    in.mode = d.immediate(d.statement.operands[4]);
    for (std::size_t i = 0; i < 4; ++i) in.reg[i] = d.operand_reg(i, 4);
    in.execute = lop3;
  } else if (op == "dp4a") {
    const std::string a = m.next(), b = m.next();
    m.end();
    d.operands(4, 4);
    if (a == "s32" && b == "s32") in.execute = lanewise<dot4<s8, s8>>;
    if (a == "u32" && b == "u32") in.execute = lanewise<dot4<u8, u8>>;
    if (a == "s32" && b == "u32") in.execute = lanewise<dot4<s8, u8>>;
    if (a == "u32" && b == "s32") in.execute = lanewise<dot4<u8, s8>>;
  } else if (op == "and" || op == "or" || op == "xor" || op == "not") {
    const std::string type = m.next();
    m.end();
    d.operands(op == "not" ? 2 : 3, type_bytes(type));
    if (op == "and")
      in.execute =
          for_bits(type, []<class T>() { return lanewise<[](T a, T b) { return static_cast<T>(a & b); }>; });
    if (op == "or")
      in.execute =
          for_bits(type, []<class T>() { return lanewise<[](T a, T b) { return static_cast<T>(a | b); }>; });
    if (op == "xor")
      in.execute =
          for_bits(type, []<class T>() { return lanewise<[](T a, T b) { return static_cast<T>(a ^ b); }>; });
    if (op == "not")
      in.execute = for_bits(type, []<class T>() { return lanewise<[](T a) { return static_cast<T>(~a); }>; });
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool decode_integer(Decoding& d) {
  return decode_arithmetic(d) || decode_multiply(d) || decode_shift(d) || decode_bits(d);
}

}  // namespace gpuemu
