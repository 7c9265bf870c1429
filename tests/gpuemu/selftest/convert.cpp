#include <cmath>
#include <limits>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;
using s64 = std::int64_t;

char kind_of(int bits) { return bits <= 16 ? 'h' : bits == 32 ? 'r' : 'd'; }

/// The number that the low bits of a register hold, extended to 64 bits.
u64 extended(u64 raw, int bits, bool is_signed) {
  if (bits == 64) return raw;
  raw &= (1ull << bits) - 1;
  return is_signed && (raw >> (bits - 1) & 1) != 0 ? raw | ~((1ull << bits) - 1) : raw;
}

void test_integers() {
  const std::vector<u64> values = {0,      1,          0x7f,       0x80,       0xff,       0x7fff, 0x8000,
                                   0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 63, ~0ull};
  for (const int from : {8, 16, 32, 64})
    for (const bool from_signed : {false, true})
      for (const int to : {8, 16, 32, 64})
        for (const bool to_signed : {false, true}) {
          const std::string types = std::string(to_signed ? ".s" : ".u") + std::to_string(to) +
                                    (from_signed ? ".s" : ".u") + std::to_string(from);
          const std::string registers = {kind_of(to), '=', kind_of(from)};
          check("cvt" + types + " $0, $1", registers, table(values, [&](u64 a) {
                  return extended(extended(a, from, from_signed), to, to_signed);
                }));
          // Saturation is for what may not fit.
          if (to_signed == from_signed ? to >= from : to_signed && to > from) continue;
          check("cvt.sat" + types + " $0, $1", registers, table(values, [&](u64 a) {
                  __extension__ using Wide = __int128;
                  const u64 x = extended(a, from, from_signed);
                  const Wide value =
                      from_signed ? static_cast<Wide>(static_cast<s64>(x)) : static_cast<Wide>(x);
                  const Wide top = static_cast<Wide>(1) << (to_signed ? to - 1 : to);
                  const Wide low = to_signed ? -top : 0;
                  return static_cast<u64>(value < low ? low : value >= top ? top - 1 : value);
                }));
        }
  // Registers wider than the types.
  check("cvt.s32.s8 $0, $1", "r=r", {{0x12345680, 0xffffff80}, {0x7f, 0x7f}});
  check("cvt.u64.u16 $0, $1", "d=r", {{0x12345680, 0x5680}});
}

void test_to_integers() {
  const float inf = std::numeric_limits<float>::infinity();
  // In each direction: nearest even, zero, down, up.
  struct Case {
    float x;
    s64 nearest, zero, down, up;
  };
  const Case cases[] = {{0.5f, 0, 0, 0, 1},           {1.5f, 2, 1, 1, 2},      {2.5f, 2, 2, 2, 3},
                        {-0.5f, 0, 0, -1, 0},         {-1.5f, -2, -1, -2, -1}, {-2.7f, -3, -2, -3, -2},
                        {100.0f, 100, 100, 100, 100}, {0.0f, 0, 0, 0, 0}};
  for (const std::string r : {"rni", "rzi", "rmi", "rpi"}) {
    const auto pick = [&](const Case& c) {
      return r == "rni" ? c.nearest : r == "rzi" ? c.zero : r == "rmi" ? c.down : c.up;
    };
    for (const int to : {16, 32, 64}) {
      for (const bool to_signed : {false, true}) {
        const u64 top = to_signed ? (1ull << (to - 1)) - 1 : to == 64 ? ~0ull : (1ull << to) - 1;
        const u64 bottom = to_signed ? ~top : 0;
        std::vector<Row> single, dual, half;
        for (const Case& c : cases) {
          const s64 value = pick(c);
          const u64 expected = value < 0 && !to_signed ? 0 : static_cast<u64>(value);
          single.push_back({bits(c.x), expected});
          dual.push_back({bits(double{c.x}), expected});
        }
        for (const auto& [x, expected] : {std::pair(inf, top), std::pair(-inf, bottom), std::pair(1e30f, top),
                                          std::pair(-1e30f, bottom)}) {
          single.push_back({bits(x), expected});
          dual.push_back({bits(double{x}), expected});
        }
        single.push_back({0x7fc00000, 0});
        dual.push_back({0x7ff8000000000000, 0});
        const std::string type = (to_signed ? "s" : "u") + std::to_string(to);
        const std::string result(1, kind_of(to));
        check("cvt." + r + "." + type + ".f32 $0, $1", result + "=r", single);
        check("cvt." + r + ".ftz." + type + ".f32 $0, $1", result + "=r", {{1, 0}, {bits(3.0f), 3}});
        check("cvt." + r + "." + type + ".f64 $0, $1", result + "=d", dual);
        check("cvt." + r + "." + type + ".f16 $0, $1", result + "=h", {{0x4200, 3}, {0x7c00, top}});
        check("cvt." + r + "." + type + ".bf16 $0, $1", result + "=h", {{0x4040, 3}, {0x7f80, top}});
      }
    }
    std::vector<Row> single, dual;
    for (const Case& c : cases) {
      const double value = std::copysign(static_cast<double>(pick(c)), static_cast<double>(c.x));
      single.push_back({bits(c.x), bits(static_cast<float>(value))});
      dual.push_back({bits(double{c.x}), bits(value)});
    }
    single.push_back({bits(inf), bits(inf)});
    single.push_back({bits(16777217.0f * 4), bits(16777217.0f * 4)});
    check("cvt." + r + ".f32.f32 $0, $1", "r=r", single);
    check("cvt." + r + ".ftz.f32.f32 $0, $1", "r=r", {{bits(2.0f), bits(2.0f)}, {1, 0}});
    check("cvt." + r + ".sat.f32.f32 $0, $1", "r=r", {{bits(3.0f), bits(1.0f)}, {bits(-1.0f), 0}});
    check("cvt." + r + ".f64.f64 $0, $1", "d=d", dual);
  }
}

void test_from_integers() {
  // 2^24 + 1 is a tie for f32 between 2^24 (even) and 2^24 + 2; 2^24 + 3 between +2 and +4 (even).
  const auto f = [](double x) { return bits(static_cast<float>(x)); };
  for (const std::string r : {"rn", "rz", "rm", "rp"}) {
    const bool up = r == "rp", down = r == "rm", zero = r == "rz";
    const u64 tie = f(up ? 16777218.0 : 16777216.0), next = f(up || r == "rn" ? 16777220.0 : 16777218.0);
    const u64 negative = f(down ? -16777218.0 : -16777216.0);
    for (const std::string type : {"u32", "s32", "u64", "s64"}) {
      const char kind = type.substr(1) == "32" ? 'r' : 'd';
      std::vector<Row> rows = {{0, 0}, {1, f(1)}, {16777217, tie}, {16777219, next}};
      if (type[0] == 's') rows.push_back({static_cast<u64>(-16777217), negative});
      if (type == "u32") rows.push_back({0xffffffff, f(down || zero ? 4294967040.0 : 4294967296.0)});
      check("cvt." + r + ".f32." + type + " $0, $1", std::string("r=") + kind, rows);
    }
    for (const std::string type : {"u8", "s8", "u16", "s16"})
      check("cvt." + r + ".f32." + type + " $0, $1", "r=h",
            {{5, f(5)},
             {0xffff, f(type == "u8"    ? 255
                        : type == "u16" ? 65535
                                        : -1)}});
    for (const std::string type : {"u16", "s16", "u32", "s32"})
      check("cvt." + r + ".f64." + type + " $0, $1", std::string("d=") + (type.substr(1) == "16" ? 'h' : 'r'),
            {{5, bits(5.0)},
             {0xffffffff, bits(type == "u32"   ? 4294967295.0
                               : type == "u16" ? 65535.0
                                               : -1.0)}});
    const u64 big = (1ull << 53) + 1;
    for (const std::string type : {"u64", "s64"})
      check("cvt." + r + ".f64." + type + " $0, $1", "d=d",
            {{7, bits(7.0)}, {big, bits(up ? 9007199254740994.0 : 9007199254740992.0)}});
  }
  for (const std::string type : {"u16", "s16", "u32", "s32", "u64", "s64"}) {
    const std::string kinds = std::string("h=") + (type.substr(1) == "16"   ? 'h'
                                                   : type.substr(1) == "32" ? 'r'
                                                                            : 'd');
    check("cvt.rn.f16." + type + " $0, $1", kinds, {{3, 0x4200}, {2049, 0x6800}, {2051, 0x6802}});
    check("cvt.rn.bf16." + type + " $0, $1", kinds, {{3, 0x4040}, {257, 0x4380}, {259, 0x4382}});
  }
}

void test_between_floats() {
  const float inf = std::numeric_limits<float>::infinity();
  const double third = 1.0 / 3;
  check("cvt.f64.f32 $0, $1", "d=r",
        {{bits(0.1f), bits(static_cast<double>(0.1f))},
         {bits(inf), 0x7ff0000000000000},
         {1, bits(0x1p-149)},
         {bits(-0.0f), bits(-0.0)}});
  check("cvt.ftz.f64.f32 $0, $1", "d=r", {{1, 0}});
  check("cvt.rn.f32.f64 $0, $1", "r=d",
        {{bits(third), 0x3eaaaaab},
         {bits(1e300), bits(inf)},
         {bits(0x1p-150), 0},
         {bits(0x1.8p-149), 2},
         {0x7ff8000000000000, 0x7fffffff},
         {bits(1 + 0x1p-24), bits(1.0f)}});
  check("cvt.rz.f32.f64 $0, $1", "r=d", {{bits(third), 0x3eaaaaaa}, {bits(1e300), 0x7f7fffff}});
  check("cvt.rm.f32.f64 $0, $1", "r=d", {{bits(third), 0x3eaaaaaa}, {bits(-third), 0xbeaaaaab}});
  check("cvt.rp.f32.f64 $0, $1", "r=d", {{bits(third), 0x3eaaaaab}, {bits(-third), 0xbeaaaaaa}});
  check("cvt.sat.f32.f32 $0, $1", "r=r",
        {{bits(2.0f), bits(1.0f)},
         {bits(-2.0f), 0},
         {bits(0.5f), bits(0.5f)},
         {0x7fc00000, 0},
         {bits(inf), bits(1.0f)}});
  check("cvt.ftz.sat.f32.f32 $0, $1", "r=r", {{1, 0}, {bits(0.5f), bits(0.5f)}});
  check("cvt.ftz.f32.f32 $0, $1", "r=r", {{1, 0}, {bits(0.5f), bits(0.5f)}});

  // bf16: ties at bit 15.
  const std::vector<Row> to_bf16 = {{bits(1.0f), 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
                                    {0x3f808001, 0x3f81}, {0x7f7fffff, 0x7f80}, {bits(inf), 0x7f80},
                                    {0x7fc00000, 0x7fff}, {0x00008000, 0},      {0x80018000, 0x8002}};
  check("cvt.rn.bf16.f32 $0, $1", "h=r", to_bf16);
  check("cvt.rz.bf16.f32 $0, $1", "h=r",
        {{0x3f80ffff, 0x3f80}, {0xbf80ffff, 0xbf80}, {0x7f7fffff, 0x7f7f}, {0x7fc00000, 0x7fff}});
  check("cvt.rn.relu.bf16.f32 $0, $1", "h=r", {{bits(-1.0f), 0}, {bits(1.0f), 0x3f80}});
  check("cvt.rn.bf16x2.f32 $0, $1, $2", "r=rr",
        {{bits(1.0f), bits(2.0f), 0x3f804000}, {0x3f818000, 0x3f808000, 0x3f823f80}});
  check("cvt.rz.bf16x2.f32 $0, $1, $2", "r=rr", {{0x3f81ffff, 0x3f80ffff, 0x3f813f80}});
  check("cvt.f32.bf16 $0, $1", "r=h", {{0x3f81, 0x3f810000}, {0xff80, 0xff800000}, {0x0001, 0x00010000}});
  // f16: 11 bits; 65520 is the tie to infinity; 2^-25 is the tie to the smallest number.
  check("cvt.rn.f16.f32 $0, $1", "h=r",
        {{bits(1.0f), 0x3c00},
         {bits(2049.0f), 0x6800},
         {bits(2051.0f), 0x6802},
         {bits(65519.0f), 0x7bff},
         {bits(65520.0f), 0x7c00},
         {bits(0x1p-25f), 0},
         {bits(0x1.8p-25f), 1},
         {bits(-0x1p-24f), 0x8001},
         {bits(0x1.ff8p-15f), 0x03ff},
         {bits(0x1.ffcp-15f), 0x0400},
         {bits(0x1p-14f), 0x0400},
         {0x7fc00000, 0x7fff}});
  check("cvt.rz.f16.f32 $0, $1", "h=r",
        {{bits(2051.0f), 0x6801}, {bits(1e9f), 0x7bff}, {bits(-0.0f), 0x8000}});
  check("cvt.rn.f16x2.f32 $0, $1, $2", "r=rr", {{bits(1.0f), bits(2.0f), 0x3c004000}});
  check("cvt.f32.f16 $0, $1", "r=h",
        {{0x3c01, bits(1.0f + 0x1p-10f)},
         {0x0001, bits(0x1p-24f)},
         {0x83ff, bits(-0x1.ff8p-15f)},
         {0x7c00, bits(inf)}});
  check("cvt.f64.f16 $0, $1", "d=h", {{0x3c00, bits(1.0)}});
  check("cvt.rn.f16.f64 $0, $1", "h=d", {{bits(1.0), 0x3c00}, {bits(1.0 + 0x1p-11 + 0x1p-40), 0x3c01}});
  // tf32: 10 bits, ties away from zero.
  check("cvt.rna.tf32.f32 $0, $1", "r=r",
        {{bits(1.0f), bits(1.0f)},
         {0x3f801000, 0x3f802000},
         {0x3f800fff, 0x3f800000},
         {0xbf801000, 0xbf802000},
         {0x3f803000, 0x3f804000},
         {bits(inf), bits(inf)}});
}

}  // namespace

void test_convert() {
  test_integers();
  test_to_integers();
  test_from_integers();
  test_between_floats();
}

}  // namespace gpuemu::selftest
