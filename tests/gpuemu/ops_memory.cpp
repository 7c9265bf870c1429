// Loads, stores and atomics in every space of memory.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

/// Memory holds M, registers R, which may be wider.
template <class M, class R>
void load(Warp& w, const Instruction& in, Mask mask) {
  std::byte* host[lane_count];
  w.machine->locate(w, in, mask, static_cast<int>(sizeof(M)) * in.count, AccessKind::read, host);
  for (std::size_t i = 0; i < in.count; ++i) {
    R out[lane_count];
    for (int l = 0; l < lane_count; ++l) {
      M value;
      std::memcpy(&value, host[l] + i * sizeof(M), sizeof(M));
      out[l] = static_cast<R>(value);
    }
    if (in.reg[i] >= 0) w.store(in.reg[i], out, mask);
  }
}

template <class M, class R>
void store(Warp& w, const Instruction& in, Mask mask) {
  std::byte* host[lane_count];
  w.machine->locate(w, in, mask, static_cast<int>(sizeof(M)) * in.count, AccessKind::write, host);
  for (std::size_t i = 0; i < in.count; ++i) {
    const R* values = w.lanes<R>(in.reg[i]);
    for (int l = 0; l < lane_count; ++l) {
      const M value = static_cast<M>(values[l]);
      if ((mask >> l & 1) != 0) std::memcpy(host[l] + i * sizeof(M), &value, sizeof(M));
    }
  }
}

/// `form` is a generic lambda <M, R> that gives the handler.
template <class M, class Form>
Handler by_register(std::size_t reg_bytes, Form form) {
  if constexpr (sizeof(M) <= 2)
    if (reg_bytes == 2) return form.template operator()<M, u16>();
  if constexpr (sizeof(M) <= 4)
    if (reg_bytes == 4) return form.template operator()<M, u32>();
  if (reg_bytes == 8) return form.template operator()<M, u64>();
  return nullptr;
}

template <class Form>
Handler access_handler(const std::string& type, std::size_t reg_bytes, Form form) {
  if (type == "s8") return by_register<s8>(reg_bytes, form);
  if (type == "s16") return by_register<s16>(reg_bytes, form);
  if (type == "s32") return by_register<s32>(reg_bytes, form);
  switch (type_bytes(type)) {
    case 1: return by_register<u8>(reg_bytes, form);
    case 2: return by_register<u16>(reg_bytes, form);
    case 4: return by_register<u32>(reg_bytes, form);
    case 8: return by_register<u64>(reg_bytes, form);
    default: return nullptr;
  }
}

Space space_of(const std::string& name) {
  return name == "global" || name == "const"         ? Space::global
         : name == "shared" || name == "shared::cta" ? Space::shared
         : name == "local"                           ? Space::local
         : name == "param"                           ? Space::param
                                                     : Space::generic;
}

void take_cache_hints(Modifiers& m) {
  while (!m.take_one_of(
               "ca cg cs cv lu wb wt L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last "
               "L1::no_allocate L2::64B L2::128B L2::256B")
              .empty()) {
  }
}

bool decode_access(Decoding& d) {
  const bool is_load = d.opcode() == "ld";
  if (!is_load && d.opcode() != "st") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  if (!m.take("volatile")) m.take("weak");
  in.space = space_of(m.take_one_of("global shared shared::cta local param const"));
  if (is_load) in.constant_data = m.take("nc");
  take_cache_hints(m);
  const std::string vector = m.take_one_of("v2 v4");
  const std::string type = m.next();
  m.end();
  in.count = vector.empty() ? 1 : static_cast<u8>(vector[1] - '0');
  in.bytes = static_cast<u8>(type_bytes(type));
  d.expect_operands(2, 2);
  const auto& data = d.statement.operands[is_load ? 0 : 1];
  d.address(d.statement.operands[is_load ? 1 : 0]);
  const auto parts = Decoding::parts(data);
  if (parts.size() != in.count) d.fail("another number of registers than the vector has");
  std::size_t reg_bytes = std::max<std::size_t>(in.bytes, 2);
  for (const std::string& part : parts)
    if (part != "_") reg_bytes = d.reg_bytes(part, reg_bytes);
  for (std::size_t i = 0; i < parts.size(); ++i) in.reg[i] = d.reg(parts[i], reg_bytes);
  in.execute =
      is_load ? access_handler(type, reg_bytes, []<class M, class R>() -> Handler { return load<M, R>; })
              : access_handler(type, reg_bytes, []<class M, class R>() -> Handler { return store<M, R>; });
  return true;
}

enum class Atomic {
  add,
  min,
  max,
  bit_and,
  bit_or,
  bit_xor,
  exchange,
  compare_exchange,
  increment,
  decrement
};

template <class T>
T update(Atomic op, T old, T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return canonical(old + a);
  } else {
    switch (op) {
      case Atomic::add: return static_cast<T>(static_cast<u64>(old) + static_cast<u64>(a));
      case Atomic::min: return std::min(old, a);
      case Atomic::max: return std::max(old, a);
      case Atomic::bit_and: return old & a;
      case Atomic::bit_or: return old | a;
      case Atomic::bit_xor: return old ^ a;
      case Atomic::exchange: return a;
      case Atomic::compare_exchange: return old == a ? b : old;
      case Atomic::increment: return old >= a ? 0 : old + 1;
      case Atomic::decrement: return old == 0 || old > a ? a : old - 1;
    }
    return old;
  }
}

/// Lane after lane. reg[0]: the old value, -1 for red; reg[1], reg[2]: operands.
template <class T>
void atomic(Warp& w, const Instruction& in, Mask mask) {
  std::byte* host[lane_count];
  w.machine->locate(w, in, mask, sizeof(T), AccessKind::atomic, host);
  const T *a = w.lanes<T>(in.reg[1]), *b = w.lanes<T>(in.reg[2]);
  T out[lane_count] = {};
  for (int l = 0; l < lane_count; ++l) {
    if ((mask >> l & 1) == 0) continue;
    std::memcpy(&out[l], host[l], sizeof(T));
    const T value = update(static_cast<Atomic>(in.mode), out[l], a[l], b[l]);
    std::memcpy(host[l], &value, sizeof(T));
  }
  if (in.reg[0] >= 0) w.store(in.reg[0], out, mask);
}

bool decode_atomic(Decoding& d) {
  const bool with_result = d.opcode() == "atom";
  if (!with_result && d.opcode() != "red") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  m.take_one_of(with_result ? "relaxed acquire release acq_rel" : "relaxed release");
  m.take_one_of("cta gpu sys");
  in.space = space_of(m.take_one_of("global shared shared::cta"));
  m.take_one_of("cta gpu sys");
  static const std::string names[] = {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"};
  const std::string op = m.next();
  const auto name = std::find(std::begin(names), std::end(names), op);
  if (name == std::end(names)) d.fail("unknown atomic operation");
  in.mode = name - std::begin(names);
  const std::string type = m.next();
  m.end();
  in.bytes = static_cast<u8>(type_bytes(type));
  const bool cas = op == "cas";
  const std::size_t first = with_result ? 1 : 0;
  d.expect_operands(first + (cas ? 3 : 2), first + (cas ? 3 : 2));
  in.reg[0] = with_result ? d.operand_reg(0, in.bytes) : -1;
  d.address(d.statement.operands[first]);
  in.reg[1] = d.operand_reg(first + 1, in.bytes);
  in.reg[2] = cas ? d.operand_reg(first + 2, in.bytes) : in.reg[1];
  const bool sum = op == "add";
  if (type == "f32" && sum)
    in.execute = atomic<float>;
  else if (type == "f64" && sum)
    in.execute = atomic<double>;
  else if (type == "u32" || type == "b32")
    in.execute = atomic<u32>;
  else if (type == "s32")
    in.execute = atomic<s32>;
  else if (type == "u64" || type == "b64")
    in.execute = atomic<u64>;
  else if (type == "s64")
    in.execute = atomic<s64>;
  return true;
}

}  // namespace

bool decode_memory(Decoding& d) { return decode_access(d) || decode_atomic(d); }

}  // namespace gpuemu
