// Moves, comparisons, selections, predicates, and conversions between address spaces.
#include <driver_types.h>

#include <bit>
#include <cmath>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

enum class Compare { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

/// The last six and the ones with a u are of floating numbers: true if one is no number (num, nan: as they
/// say).
template <Compare c, class T>
bool compare(T a, T b) {
  switch (c) {
    case Compare::eq: return a == b;
    case Compare::ne: return a != b && a == a && b == b;
    case Compare::lt: return a < b;
    case Compare::le: return a <= b;
    case Compare::gt: return a > b;
    case Compare::ge: return a >= b;
    case Compare::equ: return a == b || a != a || b != b;
    case Compare::neu: return !(a == b);
    case Compare::ltu: return !(a >= b);
    case Compare::leu: return !(a > b);
    case Compare::gtu: return !(a <= b);
    case Compare::geu: return !(a < b);
    case Compare::num: return a == a && b == b;
    case Compare::nan: return a != a || b != b;
  }
}
template <Compare c>
bool compare_flushed(float a, float b) {
  return compare<c>(flush(a), flush(b));
}
template <Compare c>
bool compare_bf16(u16 a, u16 b) {
  return compare<c>(bf16_float(a), bf16_float(b));
}
template <Compare c>
bool compare_f16(u16 a, u16 b) {
  return compare<c>(f16_float(a), f16_float(b));
}

// setp: mode holds how the result is combined with predicate reg[4], and whether that is negated.
constexpr std::int64_t and_op = 1, or_op = 2, xor_op = 3, negated_op = 4;

template <auto op>
struct SetPredicate {
  static void run(Warp& w, const Instruction& in, Mask mask) {
    const Mask result = LanewiseTest<op>::evaluate(w, in);
    Mask p = result, q = ~result;
    if (in.mode != 0) {
      const Mask other = (in.mode & negated_op) != 0 ? ~w.predicates[in.reg[4]] : w.predicates[in.reg[4]];
      const auto how = in.mode & 3;
      p = how == and_op ? p & other : how == or_op ? p | other : p ^ other;
      q = how == and_op ? q & other : how == or_op ? q | other : q ^ other;
    }
    w.store_predicate(in.reg[0], p, mask);
    w.store_predicate(in.reg[1], q, mask);
  }
};

/// set: mode is the value of "true".
template <auto op>
struct SetRegister {
  static void run(Warp& w, const Instruction& in, Mask mask) {
    const Mask result = LanewiseTest<op>::evaluate(w, in);
    u32 out[lane_count];
    for (int l = 0; l < lane_count; ++l) out[l] = (result >> l & 1) != 0 ? static_cast<u32>(in.mode) : 0;
    w.store(in.reg[0], out, mask);
  }
};

template <template <auto> class Form, Compare c>
Handler comparison_of(std::string_view type, bool ftz) {
  if (ftz) return type == "f32" ? Form<compare_flushed<c>>::run : nullptr;
  if (type == "f32") return Form<compare<c, float>>::run;
  if (type == "f64") return Form<compare<c, double>>::run;
  if (type == "bf16") return Form<compare_bf16<c>>::run;
  if (type == "f16") return Form<compare_f16<c>>::run;
  if constexpr (c <= Compare::ge) {
    if (type == "u32" || type == "b32") return Form<compare<c, u32>>::run;
    if (type == "s32") return Form<compare<c, s32>>::run;
    if (type == "u64" || type == "b64") return Form<compare<c, u64>>::run;
    if (type == "s64") return Form<compare<c, s64>>::run;
    if (type == "u16" || type == "b16") return Form<compare<c, u16>>::run;
    if (type == "s16") return Form<compare<c, s16>>::run;
  }
  return nullptr;
}

template <template <auto> class Form>
Handler comparison(std::string_view name, std::string_view type, bool ftz) {
  if (name == "eq") return comparison_of<Form, Compare::eq>(type, ftz);
  if (name == "ne") return comparison_of<Form, Compare::ne>(type, ftz);
  if (name == "lt" || name == "lo") return comparison_of<Form, Compare::lt>(type, ftz);
  if (name == "le" || name == "ls") return comparison_of<Form, Compare::le>(type, ftz);
  if (name == "gt" || name == "hi") return comparison_of<Form, Compare::gt>(type, ftz);
  if (name == "ge" || name == "hs") return comparison_of<Form, Compare::ge>(type, ftz);
  if (name == "equ") return comparison_of<Form, Compare::equ>(type, ftz);
  if (name == "neu") return comparison_of<Form, Compare::neu>(type, ftz);
  if (name == "ltu") return comparison_of<Form, Compare::ltu>(type, ftz);
  if (name == "leu") return comparison_of<Form, Compare::leu>(type, ftz);
  if (name == "gtu") return comparison_of<Form, Compare::gtu>(type, ftz);
  if (name == "geu") return comparison_of<Form, Compare::geu>(type, ftz);
  if (name == "num") return comparison_of<Form, Compare::num>(type, ftz);
  if (name == "nan") return comparison_of<Form, Compare::nan>(type, ftz);
  return nullptr;
}

bool decode_compare(Decoding& d) {
  const std::string& op = d.opcode();
  if (op != "setp" && op != "set") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  const std::string compare_name = m.next();
  const std::string combine = op == "setp" ? m.take_one_of("and or xor") : "";
  const bool ftz = m.take("ftz");
  const std::string result_type = op == "set" ? m.next() : "";
  const std::string type = m.next();
  m.end();
  const std::size_t bytes = type_bytes(type);
  d.expect_operands(combine.empty() ? 3 : 4, combine.empty() ? 3 : 4);
  in.reg[2] = d.operand_reg(1, bytes);
  in.reg[3] = d.operand_reg(2, bytes);
  if (op == "set") {
    if (result_type != "f32" && result_type != "u32" && result_type != "s32")
      d.fail("unknown variant of an instruction");
    in.reg[0] = d.operand_reg(0, 4);
    in.mode = result_type == "f32" ? 0x3f800000 : 0xffffffff;
    in.execute = comparison<SetRegister>(compare_name, type, ftz);
    return true;
  }
  const std::string& to = d.statement.operands[0];
  const auto bar = to.find('|');
  in.reg[0] = d.predicate(to.substr(0, bar));
  in.reg[1] = bar == std::string::npos ? -1 : d.predicate(to.substr(bar + 1));
  if (!combine.empty()) {
    std::string other = d.statement.operands[3];
    in.mode = combine == "and" ? and_op : combine == "or" ? or_op : xor_op;
    if (other[0] == '!') {
      in.mode |= negated_op;
      other.erase(0, 1);
    }
    in.reg[4] = d.predicate(other);
  }
  in.execute = comparison<SetPredicate>(compare_name, type, ftz);
  return true;
}

template <class T>
void select(Warp& w, const Instruction& in, Mask mask) {
  const T *a = w.lanes<T>(in.reg[1]), *b = w.lanes<T>(in.reg[2]);
  const Mask p = w.predicates[in.reg[3]];
  T out[lane_count];
  for (int l = 0; l < lane_count; ++l) out[l] = (p >> l & 1) != 0 ? a[l] : b[l];
  w.store(in.reg[0], out, mask);
}

template <class T>
void move(Warp& w, const Instruction& in, Mask mask) {
  T out[lane_count];
  std::memcpy(out, w.lanes<T>(in.reg[1]), sizeof out);
  w.store(in.reg[0], out, mask);
}

/// mov.b32 %r, {%rs1, %rs2}: the first part is the low one.
template <class Whole, class Part>
void pack(Warp& w, const Instruction& in, Mask mask) {
  Whole out[lane_count] = {};
  for (int i = 0; i < in.count; ++i) {
    const Part* part = w.lanes<Part>(in.reg[static_cast<std::size_t>(i) + 1]);
    for (int l = 0; l < lane_count; ++l)
      out[l] |= static_cast<Whole>(part[l]) << (8 * sizeof(Part) * static_cast<unsigned>(i));
  }
  w.store(in.reg[0], out, mask);
}

template <class Whole, class Part>
void unpack(Warp& w, const Instruction& in, Mask mask) {
  Whole whole[lane_count];
  std::memcpy(whole, w.lanes<Whole>(in.reg[15]), sizeof whole);
  for (int i = 0; i < in.count; ++i) {
    const int to = in.reg[static_cast<std::size_t>(i)];
    if (to < 0) continue;
    Part out[lane_count];
    for (int l = 0; l < lane_count; ++l)
      out[l] = static_cast<Part>(whole[l] >> (8 * sizeof(Part) * static_cast<unsigned>(i)));
    w.store(to, out, mask);
  }
}

void move_predicate(Warp& w, const Instruction& in, Mask mask) {
  w.store_predicate(in.reg[0], w.predicates[in.reg[1]], mask);
}
void set_predicate(Warp& w, const Instruction& in, Mask mask) {
  w.store_predicate(in.reg[0], static_cast<Mask>(in.mode), mask);
}

bool decode_move(Decoding& d) {
  if (d.opcode() != "mov") return false;
  const std::string type = d.modifiers.next();
  d.modifiers.end();
  d.expect_operands(2, 2);
  auto& in = d.in;
  const auto &to = d.statement.operands[0], &from = d.statement.operands[1];
  if (type == "pred" && (from == "0" || from == "1" || from == "-1")) {
    in.reg = {d.predicate(to)};
    in.mode = from == "0" ? 0 : -1;
    in.execute = set_predicate;
    return true;
  }
  if (type == "pred") {
    in.reg = {d.predicate(to), d.predicate(from)};
    in.execute = move_predicate;
    return true;
  }
  const std::size_t bytes = type_bytes(type);
  const bool packing = from[0] == '{';
  if (packing || to[0] == '{') {
    const auto parts = Decoding::parts(packing ? from : to);
    const std::size_t part_bytes = bytes / parts.size();
    in.count = static_cast<u8>(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) in.reg[i + packing] = d.reg(parts[i], part_bytes);
    in.reg[packing ? 0 : 15] = d.reg(packing ? to : from, bytes);
    if (bytes == 4 && part_bytes == 2) in.execute = packing ? pack<u32, u16> : unpack<u32, u16>;
    if (bytes == 8 && part_bytes == 4) in.execute = packing ? pack<u64, u32> : unpack<u64, u32>;
    if (bytes == 8 && part_bytes == 2) in.execute = packing ? pack<u64, u16> : unpack<u64, u16>;
    return true;
  }
  in.reg = {d.reg(to, bytes), d.reg(from, bytes)};
  in.execute = bytes == 2 ? move<u16> : bytes == 4 ? move<u32> : bytes == 8 ? move<u64> : nullptr;
  return true;
}

/// and.pred, or.pred, xor.pred, not.pred
template <int op>
void predicate_logic(Warp& w, const Instruction& in, Mask mask) {
  const Mask a = w.predicates[in.reg[1]], b = w.predicates[in.reg[2]];
  w.store_predicate(in.reg[0], op == 0 ? a & b : op == 1 ? a | b : op == 2 ? a ^ b : ~a, mask);
}

bool decode_predicate_logic(Decoding& d) {
  if (d.statement.opcode.back() != "pred") return false;
  const std::string& op = d.opcode();
  const std::size_t operands = op == "not" ? 2 : 3;
  if (op != "and" && op != "or" && op != "xor" && op != "not") return false;
  d.modifiers.next();
  d.modifiers.end();
  d.expect_operands(operands, operands);
  for (std::size_t i = 0; i < operands; ++i) d.in.reg[i] = d.predicate(d.statement.operands[i]);
  d.in.execute = op == "and"   ? predicate_logic<0>
                 : op == "or"  ? predicate_logic<1>
                 : op == "xor" ? predicate_logic<2>
                               : predicate_logic<3>;
  return true;
}

/// Adds the window of a space to make an address generic (mode), or takes it away.
bool decode_address(Decoding& d) {
  if (d.opcode() != "cvta") return false;
  auto& m = d.modifiers;
  const bool to = m.take("to");
  const std::string space = m.next();
  if (m.next() != "u64") d.fail("unknown variant of an instruction");
  m.end();
  d.operands(2, 8);
  u64 window = 0;
  if (space == "shared")
    window = shared_window;
  else if (space == "local")
    window = local_window;
  else if (space == "param")
    window = param_window;
  else if (space != "global" && space != "const")
    d.fail("unknown space");
  d.in.mode = static_cast<s64>(to ? 0 - window : window);
  d.in.execute = [](Warp& w, const Instruction& in, Mask mask) {
    const u64* a = w.lanes<u64>(in.reg[1]);
    u64 out[lane_count];
    for (int l = 0; l < lane_count; ++l) out[l] = a[l] + static_cast<u64>(in.mode);
    w.store(in.reg[0], out, mask);
  };
  return true;
}

void trap(Warp& w, const Instruction& in, Mask mask) {
  w.machine->fault(cudaErrorLaunchFailure, "trap", w, in, std::countr_zero(mask));
}

}  // namespace

bool decode_logic(Decoding& d) {
  if (d.opcode() == "selp") {
    const std::string type = d.modifiers.next();
    d.modifiers.end();
    d.expect_operands(4, 4);
    const std::size_t bytes = type_bytes(type);
    d.in.reg = {d.operand_reg(0, bytes), d.operand_reg(1, bytes), d.operand_reg(2, bytes),
                d.predicate(d.statement.operands[3])};
    d.in.execute = bytes == 2 ? select<u16> : bytes == 4 ? select<u32> : bytes == 8 ? select<u64> : nullptr;
    return true;
  }
  if (d.opcode() == "trap") {
    d.modifiers.end();
    d.in.execute = trap;
    return true;
  }
  return decode_compare(d) || decode_move(d) || decode_predicate_logic(d) || decode_address(d);
}

}  // namespace gpuemu
