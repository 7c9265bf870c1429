// What the lanes of a warp do together: shuffles, votes, reductions, matches.
#include <driver_types.h>

#include <algorithm>
#include <bit>

#include "lanewise.h"

namespace gpuemu {
namespace {

enum class Shuffle { up, down, butterfly, index };

/// reg[0] = the value of another lane, predicate reg[4] = whether there is one. reg[1] value, reg[2] lane,
/// reg[3] clamp.
template <Shuffle kind>
void shuffle(Warp& w, const Instruction& in, Mask mask) {
  const u32 *value = w.lanes<u32>(in.reg[1]), *by = w.lanes<u32>(in.reg[2]), *clamp = w.lanes<u32>(in.reg[3]);
  u32 out[lane_count] = {};
  Mask valid = 0;
  for (int l = 0; l < lane_count; ++l) {
    if ((mask >> l & 1) == 0) continue;
    const int b = static_cast<int>(by[l] & 31), segment = static_cast<int>(clamp[l] >> 8 & 31);
    const int last = static_cast<int>(clamp[l] & 31);
    const int least = l & segment, most = (l & segment) | (last & ~segment);
    int from = l;
    bool ok = true;
    switch (kind) {
      case Shuffle::up: from = l - b, ok = from >= most; break;
      case Shuffle::down: from = l + b, ok = from <= most; break;
      case Shuffle::butterfly: from = l ^ b, ok = from <= most; break;
      case Shuffle::index: from = least | (b & ~segment), ok = from <= most; break;
    }
    if (!ok) from = l;
    if ((mask >> from & 1) == 0)
      w.machine->fault(cudaErrorLaunchFailure, "shuffle that reads a lane which takes no part", w, in, l);
    out[l] = value[from];
    valid |= static_cast<Mask>(ok) << l;
  }
  w.store(in.reg[0], out, mask);
  w.store_predicate(in.reg[4], valid, mask);
}

bool decode_shuffle(Decoding& d) {
  if (d.opcode() != "shfl") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  if (!m.take("sync")) d.fail("unknown variant of an instruction");
  const std::string kind = m.next();
  if (m.next() != "b32") d.fail("unknown variant of an instruction");
  m.end();
  d.expect_operands(5, 5);
  const std::string& to = d.statement.operands[0];
  const auto bar = to.find('|');
  in.reg[0] = d.reg(to.substr(0, bar), 4);
  in.reg[4] = bar == std::string::npos ? -1 : d.predicate(to.substr(bar + 1));
  for (std::size_t i = 1; i < 4; ++i) in.reg[i] = d.operand_reg(i, 4);
  in.member_mask = d.operand_reg(4, 4);
  in.control = Control::synchronizing;
  in.execute = kind == "up"     ? shuffle<Shuffle::up>
               : kind == "down" ? shuffle<Shuffle::down>
               : kind == "bfly" ? shuffle<Shuffle::butterfly>
               : kind == "idx"  ? shuffle<Shuffle::index>
                                : nullptr;
  if (in.execute == nullptr) d.fail("unknown variant of an instruction");
  return true;
}

/// predicate reg[1] (negated if mode) of the lanes that each lane's mask names.
template <class Decide>
void vote(Warp& w, const Instruction& in, Mask mask, Decide decide) {
  const Mask votes = (in.mode != 0 ? ~w.predicates[in.reg[1]] : w.predicates[in.reg[1]]) & mask;
  const Mask* members = w.lanes<Mask>(in.member_mask);
  for (int l = 0; l < lane_count; ++l)
    if ((mask >> l & 1) != 0) decide(l, votes & members[l], members[l] & mask);
}

void vote_ballot(Warp& w, const Instruction& in, Mask mask) {
  u32 out[lane_count] = {};
  vote(w, in, mask, [&](int l, Mask votes, Mask) { out[l] = votes; });
  w.store(in.reg[0], out, mask);
}

template <class Test>
void vote_predicate(Warp& w, const Instruction& in, Mask mask, Test test) {
  Mask out = 0;
  vote(w, in, mask,
       [&](int l, Mask votes, Mask members) { out |= static_cast<Mask>(test(votes, members)) << l; });
  w.store_predicate(in.reg[0], out, mask);
}
void vote_all(Warp& w, const Instruction& in, Mask mask) {
  vote_predicate(w, in, mask, [](Mask votes, Mask members) { return votes == members; });
}
void vote_any(Warp& w, const Instruction& in, Mask mask) {
  vote_predicate(w, in, mask, [](Mask votes, Mask) { return votes != 0; });
}
void vote_uniform(Warp& w, const Instruction& in, Mask mask) {
  vote_predicate(w, in, mask, [](Mask votes, Mask members) { return votes == 0 || votes == members; });
}

bool decode_vote(Decoding& d) {
  auto& m = d.modifiers;
  auto& in = d.in;
  if (d.opcode() == "activemask") {
    if (m.next() != "b32") d.fail("unknown variant of an instruction");
    m.end();
    d.operands(1, 4);
    in.execute = [](Warp& w, const Instruction& i, Mask mask) {
      u32 out[lane_count];
      std::fill_n(out, lane_count, mask);
      w.store(i.reg[0], out, mask);
    };
    return true;
  }
  if (d.opcode() != "vote") return false;
  if (!m.take("sync")) d.fail("unknown variant of an instruction");
  const std::string kind = m.next(), type = m.next();
  m.end();
  d.expect_operands(3, 3);
  std::string source = d.statement.operands[1];
  in.mode = source[0] == '!' ? 1 : 0;
  if (in.mode != 0) source.erase(0, 1);
  in.reg[1] = d.predicate(source);
  in.member_mask = d.operand_reg(2, 4);
  in.control = Control::synchronizing;
  if (kind == "ballot" && type == "b32") {
    in.reg[0] = d.operand_reg(0, 4);
    in.execute = vote_ballot;
    return true;
  }
  in.reg[0] = d.predicate(d.statement.operands[0]);
  in.execute = type != "pred"  ? nullptr
               : kind == "all" ? vote_all
               : kind == "any" ? vote_any
               : kind == "uni" ? vote_uniform
                               : nullptr;
  if (in.execute == nullptr) d.fail("unknown variant of an instruction");
  return true;
}

/// reg[0] = the reduction of reg[1] over the lanes of each lane's mask.
template <class T, auto combine>
void reduce(Warp& w, const Instruction& in, Mask mask) {
  const T* value = w.lanes<T>(in.reg[1]);
  const Mask* members = w.lanes<Mask>(in.member_mask);
  T out[lane_count] = {};
  for (int l = 0; l < lane_count; ++l) {
    if ((mask >> l & 1) == 0) continue;
    Mask rest = members[l] & mask;
    T sum = value[std::countr_zero(rest)];
    for (rest &= rest - 1; rest != 0; rest &= rest - 1) sum = combine(sum, value[std::countr_zero(rest)]);
    out[l] = sum;
  }
  w.store(in.reg[0], out, mask);
}

bool decode_reduce(Decoding& d) {
  if (d.opcode() != "redux") return false;
  auto& m = d.modifiers;
  if (!m.take("sync")) d.fail("unknown variant of an instruction");
  const std::string kind = m.next(), type = m.next();
  m.end();
  d.expect_operands(3, 3);
  d.in.reg = {d.operand_reg(0, 4), d.operand_reg(1, 4)};
  d.in.member_mask = d.operand_reg(2, 4);
  d.in.control = Control::synchronizing;
  const bool is_signed = type == "s32";
  Handler h = nullptr;
  if (type == "u32" || type == "s32") {
    if (kind == "add") h = reduce<u32, [](u32 a, u32 b) { return a + b; }>;
    if (kind == "min")
      h = is_signed ? reduce<s32, [](s32 a, s32 b) { return std::min(a, b); }>
                    : reduce<u32, [](u32 a, u32 b) { return std::min(a, b); }>;
    if (kind == "max")
      h = is_signed ? reduce<s32, [](s32 a, s32 b) { return std::max(a, b); }>
                    : reduce<u32, [](u32 a, u32 b) { return std::max(a, b); }>;
  } else if (type == "b32") {
    if (kind == "and") h = reduce<u32, [](u32 a, u32 b) { return a & b; }>;
    if (kind == "or") h = reduce<u32, [](u32 a, u32 b) { return a | b; }>;
    if (kind == "xor") h = reduce<u32, [](u32 a, u32 b) { return a ^ b; }>;
  }
  if (h == nullptr) d.fail("unknown variant of an instruction");
  d.in.execute = h;
  return true;
}

template <class T>
void match_any(Warp& w, const Instruction& in, Mask mask) {
  const T* value = w.lanes<T>(in.reg[1]);
  const Mask* members = w.lanes<Mask>(in.member_mask);
  u32 out[lane_count] = {};
  for (int l = 0; l < lane_count; ++l)
    for (int o = 0; o < lane_count; ++o)
      if ((members[l] & mask & Mask{1} << o) != 0 && value[l] == value[o]) out[l] |= Mask{1} << o;
  w.store(in.reg[0], out, mask);
}

template <class T>
void match_all(Warp& w, const Instruction& in, Mask mask) {
  const T* value = w.lanes<T>(in.reg[1]);
  const Mask* members = w.lanes<Mask>(in.member_mask);
  u32 out[lane_count] = {};
  Mask all = 0;
  for (int l = 0; l < lane_count; ++l) {
    bool same = true;
    for (int o = 0; o < lane_count; ++o)
      if ((members[l] & mask & Mask{1} << o) != 0) same &= value[l] == value[o];
    out[l] = same ? members[l] & mask : 0;
    all |= static_cast<Mask>(same) << l;
  }
  w.store(in.reg[0], out, mask);
  w.store_predicate(in.reg[2], all, mask);
}

bool decode_match(Decoding& d) {
  if (d.opcode() != "match") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  const bool any = m.take("any");
  if ((!any && !m.take("all")) || !m.take("sync")) d.fail("unknown variant of an instruction");
  const std::string type = m.next();
  m.end();
  if (type != "b32" && type != "b64") d.fail("unknown variant of an instruction");
  d.expect_operands(3, 3);
  const std::string& to = d.statement.operands[0];
  const auto bar = to.find('|');
  in.reg = {d.reg(to.substr(0, bar), 4), d.operand_reg(1, type_bytes(type)),
            bar == std::string::npos ? -1 : d.predicate(to.substr(bar + 1))};
  in.member_mask = d.operand_reg(2, 4);
  in.control = Control::synchronizing;
  if (any)
    in.execute = type == "b32" ? match_any<u32> : match_any<u64>;
  else
    in.execute = type == "b32" ? match_all<u32> : match_all<u64>;
  return true;
}

}  // namespace

bool decode_warp(Decoding& d) {
  return decode_shuffle(d) || decode_vote(d) || decode_reduce(d) || decode_match(d);
}

}  // namespace gpuemu
