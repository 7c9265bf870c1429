// f32 and f64, rounded to nearest. Approximations are computed as exactly as the host can: how far a device
// is off cannot be seen here.
#include <cmath>
#include <limits>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

/// flush_to_zero<true> is for f32 with .ftz: operands and result.
template <bool ftz, class T>
T operand(T x) {
  if constexpr (ftz)
    return flush(x);
  else
    return x;
}
template <bool ftz, bool sat, class T>
T result(T x) {
  if constexpr (ftz) x = flush(x);
  if constexpr (sat) return x > 1 ? T{1} : x > 0 ? x : T{0};  // no number becomes 0
  return canonical(x);
}

template <class T, bool ftz, bool sat>
struct Arithmetic {
  static T in(T x) { return operand<ftz>(x); }
  static T out(T x) { return result<ftz, sat>(x); }

  static T add(T a, T b) { return out(in(a) + in(b)); }
  static T subtract(T a, T b) { return out(in(a)-in(b)); }
  static T multiply(T a, T b) { return out(in(a)*in(b)); }
  static T divide(T a, T b) { return out(in(a) / in(b)); }
  static T fused(T a, T b, T c) { return out(std::fma(in(a), in(b), in(c))); }
  static T reciprocal(T a) { return out(1 / in(a)); }
  static T square_root(T a) { return out(std::sqrt(in(a))); }
};

template <class T, bool ftz>
struct Functions {
  static T in(T x) { return operand<ftz>(x); }
  static T out(T x) { return result<ftz, false>(x); }

  static T reciprocal_root(T a) { return out(static_cast<T>(1 / std::sqrt(static_cast<double>(in(a))))); }
  static T exp2(T a) { return out(std::exp2(in(a))); }
  static T log2(T a) { return out(std::log2(in(a))); }
  static T sin(T a) { return out(static_cast<T>(std::sin(static_cast<double>(in(a))))); }
  static T cos(T a) { return out(static_cast<T>(std::cos(static_cast<double>(in(a))))); }
  static T tanh(T a) { return out(static_cast<T>(std::tanh(static_cast<double>(in(a))))); }
  static T negate(T a) { return operand<ftz>(-a); }
  static T absolute(T a) { return operand<ftz>(std::fabs(a)); }
};

// The greater zero is the positive one; a number wins over what is none, unless .NaN is given.
template <class T, bool ftz, bool nan>
T minimum(T a, T b) {
  a = operand<ftz>(a);
  b = operand<ftz>(b);
  if (a != a) return nan || b != b ? canonical(std::numeric_limits<T>::quiet_NaN()) : b;
  if (b != b) return nan ? canonical(std::numeric_limits<T>::quiet_NaN()) : a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T, bool ftz, bool nan>
T maximum(T a, T b) {
  a = operand<ftz>(a);
  b = operand<ftz>(b);
  if (a != a) return nan || b != b ? canonical(std::numeric_limits<T>::quiet_NaN()) : b;
  if (b != b) return nan ? canonical(std::numeric_limits<T>::quiet_NaN()) : a;
  return a > b || (a == b && std::signbit(b)) ? a : b;
}

enum class Op { add, sub, mul, div, fma, rcp, sqrt };

template <class A>
Handler arithmetic(Op op) {
  switch (op) {
    case Op::add: return lanewise<A::add>;
    case Op::sub: return lanewise<A::subtract>;
    case Op::mul: return lanewise<A::multiply>;
    case Op::div: return lanewise<A::divide>;
    case Op::fma: return lanewise<A::fused>;
    case Op::rcp: return lanewise<A::reciprocal>;
    case Op::sqrt: return lanewise<A::square_root>;
  }
  return nullptr;
}

/// The arithmetic whose rounding can be chosen. Other roundings than to nearest are not for this file.
bool decode_arithmetic(Decoding& d, Op op, std::size_t operands) {
  if (d.statement.has("rm") || d.statement.has("rp") || d.statement.has("rz")) return false;
  auto& m = d.modifiers;
  std::string rounding = m.take_one_of("rn approx full");
  const bool ftz = m.take("ftz"), sat = m.take("sat");
  const std::string type = m.next();
  m.end();
  const bool may_omit = op == Op::add || op == Op::sub || op == Op::mul;
  if (rounding.empty() && !may_omit) d.fail("a rounding is missing");
  if (rounding == "approx" && op != Op::div && op != Op::rcp && op != Op::sqrt) d.fail("unknown variant");
  if (rounding == "full" && op != Op::div) d.fail("unknown variant");
  d.operands(operands, type_bytes(type));
  if (type == "f32") {
    d.in.execute = ftz   ? sat ? arithmetic<Arithmetic<float, true, true>>(op)
                               : arithmetic<Arithmetic<float, true, false>>(op)
                     : sat ? arithmetic<Arithmetic<float, false, true>>(op)
                         : arithmetic<Arithmetic<float, false, false>>(op);
  } else if (type == "f64" && op == Op::rcp && rounding == "approx" && ftz) {
    // The upper half of the result; the lower is zero.
    d.in.execute = lanewise<[](double a) {
      const double r = 1 / (std::fabs(a) < std::numeric_limits<double>::min() ? std::copysign(0.0, a) : a);
      const double cut = std::bit_cast<double>(std::bit_cast<u64>(r) & 0xffffffff00000000ull);
      return std::fabs(cut) < std::numeric_limits<double>::min() ? std::copysign(0.0, cut) : cut;
    }>;
  } else if (type == "f64" && !ftz && !sat && rounding != "approx") {
    d.in.execute = arithmetic<Arithmetic<double, false, false>>(op);
  }
  return true;
}

bool decode_function(Decoding& d) {
  const std::string& op = d.opcode();
  auto& m = d.modifiers;
  const bool sign_only = op == "neg" || op == "abs";
  if (!sign_only && op != "rsqrt" && op != "ex2" && op != "lg2" && op != "sin" && op != "cos" && op != "tanh")
    return false;
  if (!sign_only && !m.take("approx")) d.fail("unknown variant of an instruction");
  const bool ftz = m.take("ftz");
  const std::string type = m.next();
  m.end();
  d.operands(2, type_bytes(type));
  const auto pick = [&op]<class F>() -> Handler {
    if (op == "neg") return lanewise<F::negate>;
    if (op == "abs") return lanewise<F::absolute>;
    if (op == "rsqrt") return lanewise<F::reciprocal_root>;
    if (op == "ex2") return lanewise<F::exp2>;
    if (op == "lg2") return lanewise<F::log2>;
    if (op == "sin") return lanewise<F::sin>;
    if (op == "cos") return lanewise<F::cos>;
    return lanewise<F::tanh>;
  };
  if (type == "f32")
    d.in.execute =
        ftz ? pick.operator()<Functions<float, true>>() : pick.operator()<Functions<float, false>>();
  if (type == "f64" && !ftz && (sign_only || op == "rsqrt"))
    d.in.execute = pick.operator()<Functions<double, false>>();
  return true;
}

bool decode_extremum(Decoding& d) {
  const bool min = d.opcode() == "min";
  if (!min && d.opcode() != "max") return false;
  auto& m = d.modifiers;
  const bool ftz = m.take("ftz"), nan = m.take("NaN");
  const std::string type = m.next();
  m.end();
  d.operands(3, type_bytes(type));
  if (type == "f32" && ftz && nan)
    d.in.execute = min ? lanewise<minimum<float, true, true>> : lanewise<maximum<float, true, true>>;
  else if (type == "f32" && ftz)
    d.in.execute = min ? lanewise<minimum<float, true, false>> : lanewise<maximum<float, true, false>>;
  else if (type == "f32" && nan)
    d.in.execute = min ? lanewise<minimum<float, false, true>> : lanewise<maximum<float, false, true>>;
  else if (type == "f32")
    d.in.execute = min ? lanewise<minimum<float, false, false>> : lanewise<maximum<float, false, false>>;
  else if (!ftz && !nan)
    d.in.execute = min ? lanewise<minimum<double, false, false>> : lanewise<maximum<double, false, false>>;
  return true;
}

template <auto op>
void test_class(Warp& w, const Instruction& in, Mask mask) {
  w.store_predicate(in.reg[0], LanewiseTest<op>::evaluate(w, in), mask);
}

template <class T>
Handler class_test(std::string_view name) {
  if (name == "finite") return test_class<[](T a) { return bool(std::isfinite(a)); }>;
  if (name == "infinite") return test_class<[](T a) { return bool(std::isinf(a)); }>;
  if (name == "number") return test_class<[](T a) { return a == a; }>;
  if (name == "notanumber") return test_class<[](T a) { return a != a; }>;
  if (name == "normal") return test_class<[](T a) { return bool(std::isnormal(a)); }>;
  if (name == "subnormal") return test_class<[](T a) { return std::fpclassify(a) == FP_SUBNORMAL; }>;
  return nullptr;
}

}  // namespace

bool decode_float(Decoding& d) {
  const std::string& op = d.opcode();
  const std::string& type = d.statement.opcode.back();
  if (type != "f32" && type != "f64") return false;
  if (op == "add") return decode_arithmetic(d, Op::add, 3);
  if (op == "sub") return decode_arithmetic(d, Op::sub, 3);
  if (op == "mul") return decode_arithmetic(d, Op::mul, 3);
  if (op == "div") return decode_arithmetic(d, Op::div, 3);
  if (op == "fma") return decode_arithmetic(d, Op::fma, 4);
  if (op == "rcp") return decode_arithmetic(d, Op::rcp, 2);
  if (op == "sqrt") return decode_arithmetic(d, Op::sqrt, 2);
  if (op == "copysign") {
    d.modifiers.next();
    d.modifiers.end();
    d.operands(3, type_bytes(type));
    d.in.execute = type == "f32" ? lanewise<[](float sign, float a) { return std::copysign(a, sign); }>
                                 : lanewise<[](double sign, double a) { return std::copysign(a, sign); }>;
    return true;
  }
  if (op == "testp") {
    const std::string name = d.modifiers.next();
    d.modifiers.next();
    d.modifiers.end();
    d.expect_operands(2, 2);
    d.in.reg[0] = d.predicate(d.statement.operands[0]);
    d.in.reg[2] = d.operand_reg(1, type_bytes(type));
    d.in.execute = type == "f32" ? class_test<float>(name) : class_test<double>(name);
    return true;
  }
  return decode_function(d) || decode_extremum(d);
}

}  // namespace gpuemu
