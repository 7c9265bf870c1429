// Loads and stores of all types, vectors and spaces against the bytes of a pattern; atomics.
#include <cstring>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;

struct Type {
  const char* name;
  int bytes;
};
constexpr Type types[] = {{"b8", 1},  {"u8", 1},  {"s8", 1},  {"b16", 2}, {"u16", 2}, {"s16", 2}, {"b32", 4},
                          {"u32", 4}, {"s32", 4}, {"f32", 4}, {"b64", 8}, {"u64", 8}, {"s64", 8}, {"f64", 8}};

u64 element(const std::uint8_t* at, const Type& t) {
  u64 x = 0;
  std::memcpy(&x, at, static_cast<std::size_t>(t.bytes));
  if (t.name[0] == 's' && t.bytes < 8 && (x >> (8 * t.bytes - 1) & 1) != 0) x |= ~0ull << 8 * t.bytes;
  return x;
}

std::string head(const std::string& variables = "") {
  return module_head() + variables +
         ".visible .entry t(.param .u64 data, .param .align 16 .b8 blob[64])\n{\n.reg .b64 at, wide;\n.reg "
         ".b64 place;\n";
}

/// Registers of `bytes` each (at least 2), as a vector operand if there are several.
std::string declare(int count, int bytes) {
  const std::string type = bytes <= 2 ? ".b16" : bytes == 4 ? ".b32" : ".b64";
  return ".reg " + type + " x<" + std::to_string(count) + ">;\n";
}
std::string operand(int count) {
  std::string s = count == 1 ? "" : "{";
  for (int i = 0; i < count; ++i) s += (i != 0 ? ", x" : "x") + std::to_string(i);
  return count == 1 ? s : s + "}";
}
std::string widen(int i, int bytes, const char* type) {
  const std::string x = "x" + std::to_string(i);
  if (bytes == 8) return "mov.b64 wide, " + x + ";\n";
  return std::string("cvt.") + (type[0] == 's' ? "s64.s" : "u64.u") + std::to_string(bytes <= 2 ? 16 : 32) +
         " wide, " + x + ";\n";
}

/// The data: 64 bytes of a pattern, then 64 that the kernel fills.
std::vector<std::uint8_t> pattern() {
  std::vector<std::uint8_t> data(128, 0);
  for (std::size_t i = 0; i < 64; ++i) data[i] = static_cast<std::uint8_t>(0x70 + i * 5);
  return data;
}

/// Copies the pattern to the space, if it is none of the kernel's parameters.
std::string fill_space(const std::string& space) {
  if (space != "shared" && space != "local") return "";
  std::string s;
  for (int i = 0; i < 64; i += 8)
    s += "ld.global.u64 wide, [at+" + std::to_string(i) + "];\nst." + space + ".u64 [room+" +
         std::to_string(i) + "], wide;\n";
  return s;
}

std::string variables_of(const std::string& space) {
  return space == "shared" || space == "local" ? "." + space + " .align 16 .b8 room[64];\n" : "";
}

void test_load(const std::string& opcode, const std::string& space, const Type& t, int count) {
  std::string text = head() + variables_of(space) + declare(count, t.bytes) + "ld.param.u64 at, [data];\n" +
                     fill_space(space);
  const int offset = t.bytes * count;  // of the second vector
  const std::string place = space == "param" ? "blob" : space == "shared" || space == "local" ? "room" : "at";
  text += opcode + " " + operand(count) + ", [" + place + "+" + std::to_string(offset) + "];\n";
  for (int i = 0; i < count; ++i)
    text += widen(i, t.bytes, t.name) + "st.global.u64 [at+" + std::to_string(64 + 8 * i) + "], wide;\n";
  text += "ret;\n}\n";
  covers(opcode);
  const auto before = pattern();
  const auto after = run_module(text, before, 1);
  for (int i = 0; i < count; ++i) {
    u64 got = 0;
    std::memcpy(&got, &after[static_cast<std::size_t>(64 + 8 * i)], 8);
    std::vector<std::uint8_t> source = before;
    if (space == "param")  // the blob's bytes: see run_module; it begins behind 16 bytes
      for (std::size_t b = 0; b < 64; ++b) source[b] = static_cast<std::uint8_t>(0x70 + 16 + b);
    const std::size_t from = static_cast<std::size_t>(offset + i * t.bytes);
    // A 16-bit register takes a signed byte extended to 16 bits; beyond that `widen` extends.
    expect_equal(opcode, got, element(&source[from], t));
  }
}

void test_store(const std::string& opcode, const std::string& space, const Type& t, int count) {
  std::string text = head() + variables_of(space) + declare(count, t.bytes) + "ld.param.u64 at, [data];\n";
  for (int i = 0; i < count; ++i)
    text += "ld.global." +
            std::string(t.bytes <= 2   ? "u16"
                        : t.bytes == 4 ? "u32"
                                       : "u64") +
            " x" + std::to_string(i) + ", [at+" + std::to_string(8 * i) + "];\n";
  const bool own = space == "shared" || space == "local";
  if (own)
    for (int i = 0; i < 64; i += 8)
      text += "mov.b64 wide, 0;\nst." + space + ".u64 [room+" + std::to_string(i) + "], wide;\n";
  const int offset = t.bytes * count;
  text += opcode + " [" + (own ? "room+" + std::to_string(offset) : "at+" + std::to_string(64 + offset)) +
          "], " + operand(count) + ";\n";
  if (own)
    for (int i = 0; i < 64; i += 8)
      text += "ld." + space + ".u64 wide, [room+" + std::to_string(i) + "];\nst.global.u64 [at+" +
              std::to_string(64 + i) + "], wide;\n";
  text += "ret;\n}\n";
  covers(opcode);
  const auto before = pattern();
  const auto after = run_module(text, before, 1);
  std::vector<std::uint8_t> expected = before;
  for (int i = 0; i < count; ++i)
    std::memcpy(&expected[static_cast<std::size_t>(64 + offset + i * t.bytes)],
                &before[static_cast<std::size_t>(8 * i)], static_cast<std::size_t>(t.bytes));
  for (std::size_t i = 64; i < 128; ++i)
    expect_equal(opcode + ", byte " + std::to_string(i - 64), after[i], expected[i]);
}

void test_accesses() {
  for (const Type& t : types)
    for (const int count : {1, 2, 4}) {
      if (count * t.bytes > 16) continue;
      const std::string tail = (count == 1 ? "." : ".v" + std::to_string(count) + ".") + t.name;
      for (const std::string hint :
           {"", ".nc", ".ca", ".cg", ".cs", ".cv", ".lu", ".L1::no_allocate", ".L1::evict_last", ".L2::128B",
            ".nc.L1::no_allocate", ".nc.L2::128B", ".nc.L1::no_allocate.L2::128B", ".nc.L2::256B"})
        test_load("ld.global" + hint + tail, "global", t, count);
      test_load("ld" + tail, "generic", t, count);
      for (const std::string hint : {"", ".wb", ".cg", ".cs", ".wt", ".L1::no_allocate"})
        test_store("st.global" + hint + tail, "global", t, count);
      test_store("st" + tail, "generic", t, count);
      for (const std::string space : {"shared", "local"}) {
        test_load("ld." + space + tail, space, t, count);
        test_store("st." + space + tail, space, t, count);
      }
      for (const std::string space : {"global", "shared"}) {
        test_load("ld.volatile." + space + tail, space, t, count);
        test_store("st.volatile." + space + tail, space, t, count);
      }
      test_load("ld.param" + tail, "param", t, count);
      if (t.bytes * count > 8) continue;
      // A module's constants.
      std::string text =
          head(
              ".const .align 16 .b8 table[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};\n") +
          declare(count, t.bytes) + "ld.param.u64 at, [data];\nld.const" + tail + " " + operand(count) +
          ", [table+8];\n";
      for (int i = 0; i < count; ++i)
        text += widen(i, t.bytes, t.name) + "st.global.u64 [at+" + std::to_string(64 + 8 * i) + "], wide;\n";
      covers("ld.const" + tail);
      const auto after = run_module(text + "ret;\n}\n", pattern(), 1);
      const std::uint8_t numbers[] = {9, 10, 11, 12, 13, 14, 15, 16};
      for (int i = 0; i < count; ++i) {
        u64 got = 0;
        std::memcpy(&got, &after[static_cast<std::size_t>(64 + 8 * i)], 8);
        expect_equal("ld.const" + tail, got, element(numbers + i * t.bytes, t));
      }
    }
}

/// One thread; the old value, and what memory holds then.
void test_atomic(const std::string& op, const Type& t, u64 old, u64 a, u64 b, u64 expected) {
  const u64 mask = t.bytes == 8 ? ~0ull : 0xffffffffull;
  for (const std::string space : {"", ".global", ".shared"})
    for (const std::string order :
         {"", ".relaxed.gpu", ".acq_rel.gpu", ".relaxed.sys", ".release.gpu", ".acquire.gpu"})
      for (const std::string scope : {"", ".cta", ".gpu"})
        for (const bool result : {true, false}) {
          if (!order.empty() && !scope.empty()) continue;
          if (!result && (op == "cas" || op == "exch" || order.compare(0, 3, ".ac") == 0)) continue;
          const std::string opcode =
              (result ? "atom" : "red") + order + space + scope + "." + op + "." + t.name;
          const std::string type = t.bytes == 8 ? "u64" : "u32";
          std::string text =
              head() + variables_of("shared") + declare(4, t.bytes) + "ld.param.u64 at, [data];\n";
          for (int i = 0; i < 3; ++i)
            text +=
                "ld.global." + type + " x" + std::to_string(i) + ", [at+" + std::to_string(8 * i) + "];\n";
          const bool own = space == ".shared";
          text += "mov.b" + std::to_string(8 * t.bytes) + " x3, 0;\n";
          if (own) text += "st.shared." + type + " [room], x0;\n";
          text += opcode + (result ? " x3, [" : " [") + (own ? "room" : "at") + "], x1" +
                  (op == "cas" ? ", x2" : "") + ";\n";
          text += "st.global." + type + " [at+64], x3;\n";
          text += own ? "ld.shared." + type + " x3, [room];\n" : "ld.global." + type + " x3, [at];\n";
          text += "st.global." + type + " [at+72], x3;\nret;\n}\n";
          covers(opcode);
          std::vector<std::uint8_t> data(128, 0);
          std::memcpy(data.data(), &old, 8);
          std::memcpy(&data[8], &a, 8);
          std::memcpy(&data[16], &b, 8);
          const auto after = run_module(text, data, 1);
          u64 got[2];
          std::memcpy(got, &after[64], 16);
          expect_equal(opcode + ", the old value", got[0] & mask, result ? old & mask : 0);
          expect_equal(opcode + ", the new value", got[1] & mask, expected & mask);
        }
}

void test_atomics() {
  const u64 minus = ~0ull;
  for (const Type t : {Type{"u32", 4}, Type{"u64", 8}}) {
    test_atomic("add", t, minus, 2, 0, 1);
    test_atomic("min", t, minus, 2, 0, 2);
    test_atomic("max", t, minus, 2, 0, minus);
  }
  for (const Type t : {Type{"s32", 4}, Type{"s64", 8}}) {
    test_atomic("min", t, minus, 2, 0, minus);
    test_atomic("max", t, minus, 2, 0, 2);
  }
  test_atomic("add", {"s32", 4}, minus, 2, 0, 1);
  test_atomic("inc", {"u32", 4}, 4, 5, 0, 5);
  test_atomic("inc", {"u32", 4}, 5, 5, 0, 0);
  test_atomic("dec", {"u32", 4}, 4, 5, 0, 3);
  test_atomic("dec", {"u32", 4}, 0, 5, 0, 5);
  test_atomic("dec", {"u32", 4}, 9, 5, 0, 5);
  for (const Type t : {Type{"b32", 4}, Type{"b64", 8}}) {
    test_atomic("and", t, 12, 10, 0, 8);
    test_atomic("or", t, 12, 10, 0, 14);
    test_atomic("xor", t, 12, 10, 0, 6);
    test_atomic("exch", t, 12, 10, 0, 10);
    test_atomic("cas", t, 12, 12, 7, 7);
    test_atomic("cas", t, 12, 13, 7, 12);
  }
  test_atomic("add", {"f32", 4}, bits(1.5f), bits(0.25f), 0, bits(1.75f));
  test_atomic("add", {"f64", 8}, bits(1.5), bits(0.25), 0, bits(1.75));
}

}  // namespace

void test_memory() {
  test_accesses();
  test_atomics();
}

}  // namespace gpuemu::selftest
