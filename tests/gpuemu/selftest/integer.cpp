// Expected values from arithmetic on 128 bits, or stated.
#include <algorithm>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;
using u64 = std::uint64_t;

struct IntegerType {
  const char* name;
  int bits;
  bool is_signed;
  char kind;

  Wide value(u64 raw) const {
    const u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    raw &= mask;
    if (is_signed && (raw >> (bits - 1) & 1) != 0)
      return static_cast<Wide>(raw) - (static_cast<Wide>(1) << bits);
    return static_cast<Wide>(raw);
  }
  std::vector<u64> edges() const {
    const u64 top = 1ull << (bits - 1);
    std::vector<u64> e = {0, 1, 2, 3, 7, 100, top - 1, top, top + 1, ~0ull, ~0ull - 1, 0x123456789abcdef1ull};
    const u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    for (u64& x : e) x &= mask;
    return e;
  }
};

constexpr IntegerType types[] = {{"u16", 16, false, 'h'}, {"s16", 16, true, 'h'},  {"u32", 32, false, 'r'},
                                 {"s32", 32, true, 'r'},  {"u64", 64, false, 'd'}, {"s64", 64, true, 'd'}};

std::string signature(char result, std::initializer_list<char> inputs) {
  return std::string(1, result) + "=" + std::string(inputs);
}

void test_arithmetic() {
  for (const IntegerType& t : types) {
    const auto binary = [&](const std::string& op, auto f) {
      check(op + "." + t.name + " $0, $1, $2", signature(t.kind, {t.kind, t.kind}),
            table(t.edges(), t.edges(),
                  [&](u64 a, u64 b) { return static_cast<u64>(f(t.value(a), t.value(b))); }));
    };
    binary("add", [](Wide a, Wide b) { return a + b; });
    binary("sub", [](Wide a, Wide b) { return a - b; });
    binary("min", [](Wide a, Wide b) { return std::min(a, b); });
    binary("max", [](Wide a, Wide b) { return std::max(a, b); });
    binary("mul.lo", [](Wide a, Wide b) {
      return static_cast<Wide>(static_cast<UnsignedWide>(a) * static_cast<UnsignedWide>(b));
    });
    binary("div", [](Wide a, Wide b) { return b == 0 ? static_cast<Wide>(-1) : a / b; });
    binary("rem", [](Wide a, Wide b) { return b == 0 ? a : a % b; });
    // 64 x 64 bits have 128, which unsigned numbers need in full.
    binary("mul.hi", [&](Wide a, Wide b) {
      return t.is_signed
                 ? a * b >> t.bits
                 : static_cast<Wide>(static_cast<UnsignedWide>(a) * static_cast<UnsignedWide>(b) >> t.bits);
    });
    check(std::string("mad.lo.") + t.name + " $0, $1, $2, $3", signature(t.kind, {t.kind, t.kind, t.kind}),
          table(t.edges(), t.edges(), {0, 1, ~0ull, 12345}, [](u64 a, u64 b, u64 c) { return a * b + c; }));
    check(std::string("mad.hi.") + t.name + " $0, $1, $2, $3", signature(t.kind, {t.kind, t.kind, t.kind}),
          table(t.edges(), t.edges(), {0, 1, 12345}, [&](u64 a, u64 b, u64 c) {
            const auto p = static_cast<UnsignedWide>(t.value(a)) * static_cast<UnsignedWide>(t.value(b));
            const auto high = t.is_signed ? static_cast<u64>(static_cast<Wide>(p) >> t.bits)
                                          : static_cast<u64>(p >> t.bits);
            return high + c;
          }));
    check(std::string("sad.") + t.name + " $0, $1, $2, $3", signature(t.kind, {t.kind, t.kind, t.kind}),
          table(t.edges(), t.edges(), {0, 5}, [&](u64 a, u64 b, u64 c) {
            const Wide x = t.value(a), y = t.value(b);
            return static_cast<u64>(x < y ? y - x : x - y) + c;
          }));
    if (t.is_signed) {
      check(std::string("neg.") + t.name + " $0, $1", signature(t.kind, {t.kind}),
            table(t.edges(), [&](u64 a) { return static_cast<u64>(-t.value(a)); }));
      check(std::string("abs.") + t.name + " $0, $1", signature(t.kind, {t.kind}),
            table(t.edges(),
                  [&](u64 a) { return static_cast<u64>(t.value(a) < 0 ? -t.value(a) : t.value(a)); }));
    }
    if (t.bits < 64) {
      const char wide = t.bits == 16 ? 'r' : 'd';
      check(std::string("mul.wide.") + t.name + " $0, $1, $2", signature(wide, {t.kind, t.kind}),
            table(t.edges(), t.edges(),
                  [&](u64 a, u64 b) { return static_cast<u64>(t.value(a) * t.value(b)); }));
      check(std::string("mad.wide.") + t.name + " $0, $1, $2, $3", signature(wide, {t.kind, t.kind, wide}),
            table(t.edges(), t.edges(), {0, 7, ~0ull},
                  [&](u64 a, u64 b, u64 c) { return static_cast<u64>(t.value(a) * t.value(b)) + c; }));
    }
  }
  check("add.sat.s32 $0, $1, $2", "r=rr",
        {{0x7fffffff, 1, 0x7fffffff}, {0x80000000, ~0u, 0x80000000}, {5, 6, 11}});
  check("sub.sat.s32 $0, $1, $2", "r=rr",
        {{0x80000000, 1, 0x80000000}, {0x7fffffff, ~0u, 0x7fffffff}, {5, 6, ~0u}});
}

void test_shifts() {
  const std::vector<u64> amounts = {0, 1, 7, 15, 16, 31, 32, 33, 63, 64, 65, 0x80000000, 0xffffffff};
  for (const IntegerType& t : types) {
    const std::string bits = "b" + std::to_string(t.bits);
    if (!t.is_signed)
      check("shl." + bits + " $0, $1, $2", signature(t.kind, {t.kind, 'r'}),
            table(t.edges(), amounts, [&](u64 a, u64 n) {
              return n >= static_cast<u64>(t.bits) ? 0 : static_cast<u64>(static_cast<UnsignedWide>(a) << n);
            }));
    const auto right = [&](u64 a, u64 n) {  // arithmetic of signed numbers
      return static_cast<u64>(t.value(a) >> std::min<u64>(n, 100));
    };
    check(std::string("shr.") + t.name + " $0, $1, $2", signature(t.kind, {t.kind, 'r'}),
          table(t.edges(), amounts, right));
    if (!t.is_signed)
      check("shr." + bits + " $0, $1, $2", signature(t.kind, {t.kind, 'r'}),
            table(t.edges(), amounts, right));
  }
  const std::vector<u64> values = {0, 1, 0x80000000, 0x12345678, 0xffffffff};
  const auto wide = [](u64 low, u64 high) { return high << 32 | low; };
  check("shf.l.wrap.b32 $0, $1, $2, $3", "r=rrr", table(values, values, amounts, [&](u64 a, u64 b, u64 n) {
          return static_cast<u64>((static_cast<UnsignedWide>(wide(a, b)) << (n % 32)) >> 32);
        }));
  check("shf.l.clamp.b32 $0, $1, $2, $3", "r=rrr", table(values, values, amounts, [&](u64 a, u64 b, u64 n) {
          return static_cast<u64>((static_cast<UnsignedWide>(wide(a, b)) << std::min<u64>(n, 32)) >> 32);
        }));
  check("shf.r.wrap.b32 $0, $1, $2, $3", "r=rrr",
        table(values, values, amounts, [&](u64 a, u64 b, u64 n) { return wide(a, b) >> (n % 32); }));
  check("shf.r.clamp.b32 $0, $1, $2, $3", "r=rrr", table(values, values, amounts, [&](u64 a, u64 b, u64 n) {
          return wide(a, b) >> std::min<u64>(n, 32);
        }));
}

void test_bits() {
  for (const IntegerType& t : {types[0], types[2], types[4]}) {
    const std::string b = "b" + std::to_string(t.bits);
    const auto sig2 = signature(t.kind, {t.kind, t.kind});
    check("and." + b + " $0, $1, $2", sig2, table(t.edges(), t.edges(), [](u64 x, u64 y) { return x & y; }));
    check("or." + b + " $0, $1, $2", sig2, table(t.edges(), t.edges(), [](u64 x, u64 y) { return x | y; }));
    check("xor." + b + " $0, $1, $2", sig2, table(t.edges(), t.edges(), [](u64 x, u64 y) { return x ^ y; }));
    check("not." + b + " $0, $1", signature(t.kind, {t.kind}), table(t.edges(), [](u64 x) { return ~x; }));
    if (t.bits == 16) continue;
    check("popc." + b + " $0, $1", signature('r', {t.kind}), table(t.edges(), [&](u64 x) {
            u64 n = 0;
            for (int i = 0; i < t.bits; ++i) n += x >> i & 1;
            return n;
          }));
    check("clz." + b + " $0, $1", signature('r', {t.kind}), table(t.edges(), [&](u64 x) {
            u64 n = 0;
            for (int i = t.bits - 1; i >= 0 && (x >> i & 1) == 0; --i) ++n;
            return n;
          }));
    check("brev." + b + " $0, $1", signature(t.kind, {t.kind}), table(t.edges(), [&](u64 x) {
            u64 r = 0;
            for (int i = 0; i < t.bits; ++i)
              if ((x >> i & 1) != 0) r += 1ull << (t.bits - 1 - i);
            return r;
          }));
  }
  // As the PTX manual writes them, bit by bit.
  const std::vector<u64> positions = {0, 1, 8, 31, 32, 63, 64, 255, 256},
                         lengths = {0, 1, 4, 31, 32, 33, 64, 255};
  for (const IntegerType& t : {types[2], types[3], types[4], types[5]}) {
    check(std::string("bfe.") + t.name + " $0, $1, $2, $3", signature(t.kind, {t.kind, 'r', 'r'}),
          table(t.edges(), positions, lengths, [&](u64 a, u64 p, u64 n) {
            const int pos = static_cast<int>(p & 255), len = static_cast<int>(n & 255), msb = t.bits - 1;
            const u64 sign = !t.is_signed || len == 0 ? 0 : a >> std::min(pos + len - 1, msb) & 1;
            u64 d = 0;
            for (int i = 0; i <= msb; ++i) d |= (i < len && pos + i <= msb ? a >> (pos + i) & 1 : sign) << i;
            return d;
          }));
    if (t.is_signed) continue;
    std::vector<Row> rows;
    for (const u64 a : t.edges())
      for (const u64 b : {u64{0}, ~u64{0}, u64{0x123456789abcdef0}})
        for (const u64 p : positions)
          for (const u64 n : lengths) {
            u64 d = b;
            const int pos = static_cast<int>(p & 255), len = static_cast<int>(n & 255);
            for (int i = 0; i < len && pos + i < t.bits; ++i)
              d = (d & ~(1ull << (pos + i))) | (a >> std::min(i, 63) & 1) << (pos + i);
            rows.push_back({a, b, p, n, d});
          }
    check("bfi.b" + std::to_string(t.bits) + " $0, $1, $2, $3, $4",
          signature(t.kind, {t.kind, t.kind, 'r', 'r'}), rows);
  }
  check("bfind.u32 $0, $1", "r=r", {{0, ~0u}, {1, 0}, {0x80000000, 31}, {0x00f00000, 23}});
  check("bfind.s32 $0, $1", "r=r", {{0, ~0u}, {~0u, ~0u}, {0x80000000, 30}, {5, 2}});
  check("bfind.u64 $0, $1", "r=d", {{0, ~0u}, {1ull << 40, 40}});
  check("bfind.s64 $0, $1", "r=d", {{~0ull, ~0u}, {1ull << 40, 40}});
  check("bfind.shiftamt.u32 $0, $1", "r=r", {{0, ~0u}, {1, 31}, {0x80000000, 0}});
  check("prmt.b32 $0, $1, $2, $3", "r=rrr",
        {{0x33221100, 0x77665544, 0x3210, 0x33221100},
         {0x33221100, 0x77665544, 0x7654, 0x77665544},
         {0x33221100, 0x77665544, 0x1234, 0x11223344},
         {0x80221100, 0xff665544, 0xfb37, 0xffff80ff},
         {0x33221100, 0x77665544, 0xbcd4, 0x00000044}});
  check("lop3.b32 $0, $1, $2, $3, 0xe8", "r=rrr",
        {{0xf0, 0xcc, 0xaa, 0xe8}, {0xffff, 0xff00, 0x0ff0, 0xfff0}});
  check("lop3.b32 $0, $1, $2, $3, 150", "r=rrr", {{0xf0, 0xcc, 0xaa, 0x96}});
  check("dp4a.s32.s32 $0, $1, $2, $3", "r=rrr", {{0xff028003, 0x01010101, 10, 0xffffff8e}});
  check("dp4a.u32.u32 $0, $1, $2, $3", "r=rrr", {{0xff028003, 0x01010101, 10, 10 + 255 + 2 + 128 + 3}});
}

}  // namespace

void test_integer() {
  test_arithmetic();
  test_shifts();
  test_bits();
}

}  // namespace gpuemu::selftest
