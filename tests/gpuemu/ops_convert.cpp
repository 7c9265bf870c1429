// cvt: between all numbers, with every rounding.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

struct Half {
  u16 bits;
};
struct Bfloat {
  u16 bits;
};

enum class Rounding : std::int64_t { nearest, zero, down, up };
constexpr std::int64_t rounding_mask = 3;  // mode: a Rounding, and flags
constexpr std::int64_t to_integral_flag = 4, flush_flag = 8, saturate_flag = 16, relu_flag = 32;

template <class T>
constexpr bool is_integer_type = std::is_integral_v<T>;

double number(float x) { return x; }
double number(double x) { return x; }
double number(Half x) { return f16_float(x.bits); }
double number(Bfloat x) { return bf16_float(x.bits); }

double round_integral(double x, Rounding how) {
  switch (how) {
    case Rounding::nearest: return std::nearbyint(x);
    case Rounding::zero: return std::trunc(x);
    case Rounding::down: return std::floor(x);
    case Rounding::up: return std::ceil(x);
  }
  return x;
}

/// The number of type T for an exact x.
template <class T>
T narrow(long double x, Rounding how) {
  if constexpr (std::is_same_v<T, Half>) {
    return {double_f16(static_cast<double>(x), how == Rounding::zero)};
  } else if constexpr (std::is_same_v<T, Bfloat>) {
    if (how == Rounding::zero) return {float_bf16_truncated(narrow<float>(x, how))};
    return {double_bf16(static_cast<double>(x))};
  } else {
    const T r = static_cast<T>(x);
    const T infinity = std::numeric_limits<T>::infinity();
    if (how == Rounding::nearest || r == x || x != x) return r;
    if (how == Rounding::zero)
      return std::fabs(static_cast<long double>(r)) > std::fabs(x) ? std::nextafter(r, T{0}) : r;
    if (how == Rounding::down) return r > x ? std::nextafter(r, -infinity) : r;
    return r < x ? std::nextafter(r, infinity) : r;
  }
}

template <class D, class A>
D convert_value(A a, std::int64_t mode) {
  const auto how = static_cast<Rounding>(mode & rounding_mask);
  if constexpr (is_integer_type<A> && is_integer_type<D>) {
    if ((mode & saturate_flag) == 0) return static_cast<D>(a);
    if (std::cmp_less(a, std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
    if (std::cmp_greater(a, std::numeric_limits<D>::max())) return std::numeric_limits<D>::max();
    return static_cast<D>(a);
  } else if constexpr (is_integer_type<A>) {
    return narrow<D>(static_cast<long double>(a), how);
  } else {
    double x = number(a);
    if ((mode & flush_flag) != 0) x = flush(static_cast<float>(x));
    if ((mode & to_integral_flag) != 0) x = round_integral(x, how);
    if constexpr (is_integer_type<D>) {
      // No number becomes 0; what is too great or too small becomes the greatest or smallest.
      if (x != x) return 0;
      if (x <= static_cast<double>(std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
      if (x >= static_cast<double>(std::numeric_limits<D>::max())) return std::numeric_limits<D>::max();
      return static_cast<D>(x);
    } else {
      if ((mode & saturate_flag) != 0) x = x > 1 ? 1 : x > 0 ? x : 0;
      if ((mode & relu_flag) != 0 && x < 0) x = 0;
      if constexpr (std::is_same_v<D, float>) {
        const float f = canonical(narrow<float>(x, how));
        return (mode & flush_flag) != 0 ? flush(f) : f;
      } else {
        return narrow<D>(x, how);
      }
    }
  }
}

/// Registers may be wider than the types: the low part is read, and what is written is extended.
template <class T, class Reg>
void read_narrow(const Reg* from, T* to) {
  for (int l = 0; l < lane_count; ++l) to[l] = static_cast<T>(from[l]);
}
template <class T>
void read(const Warp& w, int reg, std::size_t bytes, T (&to)[lane_count]) {
  if constexpr (is_integer_type<T>) {
    if (bytes == 2) return read_narrow(w.lanes<u16>(reg), to);
    if (bytes == 4) return read_narrow(w.lanes<u32>(reg), to);
    return read_narrow(w.lanes<u64>(reg), to);
  } else {
    std::memcpy(to, w.lanes<T>(reg), sizeof to);
  }
}
template <class Reg, class T>
void write_extended(const Warp& w, int reg, const T (&values)[lane_count], Mask mask) {
  Reg wide[lane_count];
  for (int l = 0; l < lane_count; ++l) wide[l] = static_cast<Reg>(values[l]);
  w.store(reg, wide, mask);
}
template <class T>
void write(const Warp& w, int reg, std::size_t bytes, const T (&values)[lane_count], Mask mask) {
  if constexpr (is_integer_type<T>) {
    if (bytes == sizeof(T))
      w.store(reg, values, mask);
    else if (bytes == 2)
      write_extended<u16>(w, reg, values, mask);
    else if (bytes == 4)
      write_extended<u32>(w, reg, values, mask);
    else
      write_extended<u64>(w, reg, values, mask);
  } else {
    w.store(reg, values, mask);
  }
}

template <class D, class A>
void convert(Warp& w, const Instruction& in, Mask mask) {
  A a[lane_count];
  D out[lane_count];
  read(w, in.reg[1], in.bytes, a);
  if (is_integer_type<A> && is_integer_type<D> && in.mode == 0) {
    for (int l = 0; l < lane_count; ++l) out[l] = convert_value<D>(a[l], 0);
  } else {
    for (int l = 0; l < lane_count; ++l)
      out[l] = (mask >> l & 1) != 0 ? convert_value<D>(a[l], in.mode) : D{};
  }
  write(w, in.reg[0], in.count, out, mask);
}

template <class D>
Handler from(std::string_view type) {
  if (type == "u8") return convert<D, u8>;
  if (type == "s8") return convert<D, s8>;
  if (type == "u16") return convert<D, u16>;
  if (type == "s16") return convert<D, s16>;
  if (type == "u32") return convert<D, u32>;
  if (type == "s32") return convert<D, s32>;
  if (type == "u64") return convert<D, u64>;
  if (type == "s64") return convert<D, s64>;
  if (type == "f32") return convert<D, float>;
  if (type == "f64") return convert<D, double>;
  if (type == "f16") return convert<D, Half>;
  if (type == "bf16") return convert<D, Bfloat>;
  return nullptr;
}

Handler conversion(std::string_view to, std::string_view type) {
  if (to == "u8") return from<u8>(type);
  if (to == "s8") return from<s8>(type);
  if (to == "u16") return from<u16>(type);
  if (to == "s16") return from<s16>(type);
  if (to == "u32") return from<u32>(type);
  if (to == "s32") return from<s32>(type);
  if (to == "u64") return from<u64>(type);
  if (to == "s64") return from<s64>(type);
  if (to == "f32") return from<float>(type);
  if (to == "f64") return from<double>(type);
  if (to == "f16") return from<Half>(type);
  if (to == "bf16") return from<Bfloat>(type);
  return nullptr;
}

/// cvt.rn.bf16x2.f32 d, a, b: a is the upper half.
template <class D>
void convert_pair(Warp& w, const Instruction& in, Mask mask) {
  const float *high = w.lanes<float>(in.reg[1]), *low = w.lanes<float>(in.reg[2]);
  u32 out[lane_count];
  for (int l = 0; l < lane_count; ++l)
    out[l] = u32{convert_value<D>(high[l], in.mode).bits} << 16 | convert_value<D>(low[l], in.mode).bits;
  w.store(in.reg[0], out, mask);
}

/// The common ones, as vectors.
Handler fast_conversion(const std::string& name) {
  if (name == "cvt.rn.f32.s32") return lanewise<[](s32 a) { return static_cast<float>(a); }>;
  if (name == "cvt.rn.f32.u32") return lanewise<[](u32 a) { return static_cast<float>(a); }>;
  if (name == "cvt.rn.bf16.f32") return lanewise<float_bf16>;
  if (name == "cvt.f32.bf16") return lanewise<[](u16 a) { return canonical(bf16_float(a)); }>;
  if (name == "cvt.f32.f16") return lanewise<[](u16 a) { return canonical(f16_float(a)); }>;
  if (name == "cvt.rn.bf16x2.f32")
    return lanewise<[](float high, float low) { return u32{float_bf16(high)} << 16 | float_bf16(low); }>;
  return nullptr;
}

}  // namespace

bool decode_convert(Decoding& d) {
  if (d.opcode() != "cvt") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  const std::string rounding = m.take_one_of("rn rz rm rp rni rzi rmi rpi rna");
  const bool relu = m.take("relu"), ftz = m.take("ftz"), sat = m.take("sat");
  const std::string to = m.next(), type = m.next();
  m.end();
  if (to == "tf32") {
    if (rounding != "rna" || relu || ftz || sat || type != "f32") d.fail("unknown variant of an instruction");
    d.operands(2, 4);
    in.execute = lanewise<float_tf32>;
    return true;
  }
  if (rounding == "rna") d.fail("unknown variant of an instruction");
  if (rounding.size() > 1)
    in.mode = static_cast<std::int64_t>(rounding[1] == 'n'   ? Rounding::nearest
                                        : rounding[1] == 'z' ? Rounding::zero
                                        : rounding[1] == 'm' ? Rounding::down
                                                             : Rounding::up);
  in.mode |= (rounding.size() == 3 ? to_integral_flag : 0) | (ftz ? flush_flag : 0) |
             (sat ? saturate_flag : 0) | (relu ? relu_flag : 0);
  const bool half = to == "f16" || to == "bf16" || to == "f16x2" || to == "bf16x2";
  if (half && rounding != "" && rounding != "rn" && rounding != "rz")
    d.fail("unknown variant of an instruction");
  if (relu && !half) d.fail("unknown variant of an instruction");
  if (to == "f16x2" || to == "bf16x2") {
    if (type != "f32") d.fail("unknown variant of an instruction");
    d.operands(3, 4);
    in.execute = to == "f16x2" ? convert_pair<Half> : convert_pair<Bfloat>;
  } else {
    d.expect_operands(2, 2);
    const std::size_t to_bytes = d.reg_bytes(d.statement.operands[0], type_bytes(to));
    const std::size_t from_bytes =
        d.reg_bytes(d.statement.operands[1], std::max<std::size_t>(type_bytes(type), 2));
    if (to_bytes < type_bytes(to) || from_bytes < type_bytes(type)) d.fail("a register is too small");
    const auto is_integer = [](const std::string& t) { return t[0] == 'u' || t[0] == 's'; };
    if ((!is_integer(to) && to_bytes != type_bytes(to)) ||
        (!is_integer(type) && from_bytes != type_bytes(type)))
      d.fail("a register has another size than the instruction");
    in.count = static_cast<u8>(to_bytes);
    in.bytes = static_cast<u8>(from_bytes);
    in.reg = {d.operand_reg(0, to_bytes), d.operand_reg(1, from_bytes)};
    in.execute = conversion(to, type);
  }
  if (const Handler fast = fast_conversion(d.statement.name()); fast != nullptr) in.execute = fast;
  return true;
}

}  // namespace gpuemu
