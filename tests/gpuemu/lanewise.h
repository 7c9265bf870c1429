#pragma once
#include <cstdint>
#include <string_view>
#include <utility>

#include "decoder.h"
#include "machine.h"

/// How a family turns a function of single values into a handler over 32 lanes, and picks it by type.
namespace gpuemu {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

template <auto op, class Function = decltype(+op)>
struct Lanewise;

/// reg[0] = op(reg[1], reg[2], ...). All lanes are computed, as vectors, and those of the mask are stored.
template <auto op, class Result, class... Arguments>
struct Lanewise<op, Result (*)(Arguments...)> {
  static void run(Warp& w, const Instruction& in, Mask mask) {
    run(w, in, mask, std::index_sequence_for<Arguments...>());
  }

 private:
  template <std::size_t... I>
  static void run(Warp& w, const Instruction& in, Mask mask, std::index_sequence<I...>) {
    alignas(64) Result out[lane_count];
    loop(out, w.lanes<const Arguments>(in.reg[I + 1])...);
    w.store(in.reg[0], out, mask);
  }
  static void loop(Result* __restrict out, const Arguments*... arguments) {
    for (int l = 0; l < lane_count; ++l) out[l] = op(arguments[l]...);
  }
};

/// The handler of a function of values, whose types are those of the registers.
template <auto op>
constexpr Handler lanewise = Lanewise<op>::run;

template <auto op, class Function = decltype(+op)>
struct LanewiseTest;

/// predicate reg[0] = op(reg[2], ...), predicate reg[1] = !op(...)
template <auto op, class... Arguments>
struct LanewiseTest<op, bool (*)(Arguments...)> {
  template <std::size_t... I>
  static Mask evaluate(const Warp& w, const Instruction& in, std::index_sequence<I...>) {
    return loop(w.lanes<const Arguments>(in.reg[I + 2])...);
  }
  static Mask evaluate(const Warp& w, const Instruction& in) {
    return evaluate(w, in, std::index_sequence_for<Arguments...>());
  }

 private:
  static Mask loop(const Arguments*... arguments) {
    Mask bits = 0;
    for (int l = 0; l < lane_count; ++l) bits |= op(arguments[l]...) ? Mask{1} << l : 0;
    return bits;
  }
};

/// select.template operator()<T>() for the unsigned or signed type of that name; nullptr for another.
template <class Select>
Handler for_integer(std::string_view type, Select select) {
  if (type == "u16") return select.template operator()<u16>();
  if (type == "s16") return select.template operator()<s16>();
  if (type == "u32") return select.template operator()<u32>();
  if (type == "s32") return select.template operator()<s32>();
  if (type == "u64") return select.template operator()<u64>();
  if (type == "s64") return select.template operator()<s64>();
  return nullptr;
}

/// The same for "b16", "b32" and "b64".
template <class Select>
Handler for_bits(std::string_view type, Select select) {
  if (type == "b16") return select.template operator()<u16>();
  if (type == "b32") return select.template operator()<u32>();
  if (type == "b64") return select.template operator()<u64>();
  return nullptr;
}

template <class Select>
Handler for_float(std::string_view type, Select select) {
  if (type == "f32") return select.template operator()<float>();
  if (type == "f64") return select.template operator()<double>();
  return nullptr;
}

}  // namespace gpuemu
