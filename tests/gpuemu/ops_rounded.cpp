// f32 and f64 arithmetic rounded down, up or towards zero: the host computes it in that mode. This file is
// compiled with -frounding-math.
#include <cfenv>
#include <cmath>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

enum class Op { add, sub, mul, div, fma, rcp, sqrt };
constexpr std::int64_t flush_flag = 1, saturate_flag = 2;

class RoundingMode {
 public:
  explicit RoundingMode(int mode) { std::fesetround(mode); }
  ~RoundingMode() { std::fesetround(FE_TONEAREST); }
  RoundingMode(const RoundingMode&) = delete;
  RoundingMode& operator=(const RoundingMode&) = delete;
};

template <class T, Op op>
T compute(T a, T b, T c) {
  if constexpr (op == Op::add)
    return a + b;
  else if constexpr (op == Op::sub)
    return a - b;
  else if constexpr (op == Op::mul)
    return a * b;
  else if constexpr (op == Op::div)
    return a / b;
  else if constexpr (op == Op::fma)
    return std::fma(a, b, c);
  else if constexpr (op == Op::rcp)
    return 1 / a;
  else
    return std::sqrt(a);
}

template <class T>
T flushed(T x, std::int64_t mode) {
  if constexpr (sizeof(T) == 4)
    if ((mode & flush_flag) != 0) return flush(x);
  return x;
}

template <class T, Op op, int rounding>
void rounded(Warp& w, const Instruction& in, Mask mask) {
  const T *a = w.lanes<T>(in.reg[1]), *b = w.lanes<T>(in.reg[2]), *c = w.lanes<T>(in.reg[3]);
  T out[lane_count];
  {
    const RoundingMode scope(rounding);
    for (int l = 0; l < lane_count; ++l)
      out[l] = compute<T, op>(flushed(a[l], in.mode), flushed(b[l], in.mode), flushed(c[l], in.mode));
  }
  for (T& x : out) {
    x = flushed(x, in.mode);
    if ((in.mode & saturate_flag) != 0) x = x > 1 ? T{1} : x > 0 ? x : T{0};
    x = canonical(x);
  }
  w.store(in.reg[0], out, mask);
}

template <class T, Op op>
Handler rounded_handler(const std::string& rounding) {
  return rounding == "rm"   ? rounded<T, op, FE_DOWNWARD>
         : rounding == "rp" ? rounded<T, op, FE_UPWARD>
                            : rounded<T, op, FE_TOWARDZERO>;
}

template <Op op>
bool decode(Decoding& d, std::size_t operands) {
  auto& m = d.modifiers;
  const std::string rounding = m.take_one_of("rm rp rz");
  const bool ftz = m.take("ftz"), sat = m.take("sat");
  const std::string type = m.next();
  m.end();
  if (rounding.empty() || (type == "f64" && (ftz || sat))) d.fail("unknown variant of an instruction");
  d.operands(operands, type_bytes(type));
  // Operands that there are not are read all the same.
  for (std::size_t i = operands; i < 4; ++i) d.in.reg[i] = d.in.reg[1];
  d.in.mode = (ftz ? flush_flag : 0) | (sat ? saturate_flag : 0);
  d.in.execute = type == "f32" ? rounded_handler<float, op>(rounding) : rounded_handler<double, op>(rounding);
  return true;
}

}  // namespace

bool decode_rounded(Decoding& d) {
  const Statement& s = d.statement;
  if ((s.opcode.back() != "f32" && s.opcode.back() != "f64") || !(s.has("rm") || s.has("rp") || s.has("rz")))
    return false;
  const std::string& op = d.opcode();
  if (op == "add") return decode<Op::add>(d, 3);
  if (op == "sub") return decode<Op::sub>(d, 3);
  if (op == "mul") return decode<Op::mul>(d, 3);
  if (op == "div") return decode<Op::div>(d, 3);
  if (op == "fma") return decode<Op::fma>(d, 4);
  if (op == "rcp") return decode<Op::rcp>(d, 2);
  if (op == "sqrt") return decode<Op::sqrt>(d, 2);
  return false;
}

}  // namespace gpuemu
