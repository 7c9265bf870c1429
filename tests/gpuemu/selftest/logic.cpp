#include <cmath>
#include <limits>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;

/// What a comparison says of less, equal, greater or not comparable.
bool holds(const std::string& op, int order, bool comparable) {
  std::string plain = op;
  if (op == "num") return comparable;
  if (op == "nan") return !comparable;
  if (plain.size() == 3 && plain.back() == 'u') {
    if (!comparable) return true;
    plain.pop_back();
  } else if (!comparable) {
    return false;
  }
  if (plain == "eq") return order == 0;
  if (plain == "ne") return order != 0;
  if (plain == "lt" || plain == "lo") return order < 0;
  if (plain == "le" || plain == "ls") return order <= 0;
  if (plain == "gt" || plain == "hi") return order > 0;
  return order >= 0;
}

int order_of_integers(const std::string& type, u64 a, u64 b) {
  const int bits = std::stoi(type.substr(1));
  const u64 flip =
      type[0] == 's' ? 1ull << (bits - 1) : 0;  // signed order is unsigned order with the sign turned
  const u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
  a = (a ^ flip) & mask;
  b = (b ^ flip) & mask;
  return a < b ? -1 : a > b ? 1 : 0;
}

void test_comparisons() {
  const std::vector<u64> values = {0,          1,          0x7fff,     0x8000,     0xffff,
                                   0x7fffffff, 0x80000000, 0xffffffff, 1ull << 63, ~0ull};
  for (const std::string type : {"b16", "u16", "s16", "b32", "u32", "s32", "b64", "u64", "s64"}) {
    const char kind = type.substr(1) == "16" ? 'h' : type.substr(1) == "32" ? 'r' : 'd';
    for (const std::string op : {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"}) {
      if (type[0] == 'b' && op != "eq" && op != "ne") continue;
      if (type[0] != 'u' && (op == "lo" || op == "ls" || op == "hi" || op == "hs")) continue;
      check("setp." + op + "." + type + " $0, $1, $2", std::string("p=") + kind + kind,
            table(values, values, [&](u64 a, u64 b) {
              return static_cast<u64>(holds(op, order_of_integers(type, a, b), true));
            }));
    }
  }
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> numbers = {0.0f, -0.0f, 1.0f, -1.0f, 1.5f, 1e-40f, -1e-40f, inf, -inf, nan};
  for (const std::string op :
       {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"}) {
    std::vector<Row> single, dual, flushed, set, bf16;
    for (const float a : numbers)
      for (const float b : numbers) {
        const bool comparable = !std::isnan(a) && !std::isnan(b);
        const int order = a < b ? -1 : a > b ? 1 : 0;
        const u64 expected = holds(op, order, comparable);
        single.push_back({bits(a), bits(b), expected});
        dual.push_back({bits(double{a}), bits(double{b}), expected});
        const auto tiny = [](float x) { return std::fabs(x) < 1e-39f ? 0.0f : x; };
        flushed.push_back({bits(a), bits(b),
                           static_cast<u64>(holds(op,
                                                  tiny(a) < tiny(b)   ? -1
                                                  : tiny(a) > tiny(b) ? 1
                                                                      : 0,
                                                  comparable))});
        set.push_back({bits(a), bits(b), expected != 0 ? 0x3f800000u : 0});
      }
    check("setp." + op + ".f32 $0, $1, $2", "p=rr", single);
    check("setp." + op + ".ftz.f32 $0, $1, $2", "p=rr", flushed);
    check("setp." + op + ".f64 $0, $1, $2", "p=dd", dual);
    check("set." + op + ".f32.f32 $0, $1, $2", "r=rr", set);
  }
  const u64 one = 0x3f80, two = 0x4000, none = 0x7fff;  // bf16
  check("setp.gt.bf16 $0, $1, $2", "p=hh",
        {{two, one, 1}, {one, two, 0}, {one, none, 0}, {0x0000, 0x8000, 0}});
  check("setp.lt.f16 $0, $1, $2", "p=hh", {{0x3c00, 0x4000, 1}, {0x4000, 0x3c00, 0}, {0x3c00, none, 0}});
  check("set.lt.u32.s32 $0, $1, $2", "r=rr", {{1, 2, 0xffffffff}, {2, 1, 0}, {~0u, 0, 0xffffffff}});
  for (const std::string combine : {"and", "or", "xor"}) {
    const auto join = [&](u64 a, u64 b) {
      return combine == "and" ? a & b : combine == "or" ? a | b : a ^ b;
    };
    std::vector<Row> both, negated;
    for (const u64 a : {0, 1, 2})
      for (const u64 p : {0, 1}) {
        const u64 less = a < 1;
        both.push_back({a, 1, p, join(less, p), join(1 - less, p)});
        negated.push_back({a, 1, p, join(less, 1 - p)});
      }
    check("setp.lt." + combine + ".s32 $0|$1, $2, $3, $4", "pp=rrp", both);
    check("setp.lt." + combine + ".s32 $0, $1, $2, !$3", "p=rrp", negated);
  }
}

void test_moves() {
  for (const std::string type : {"b16", "u16", "s16"}) {
    check("mov." + type + " $0, $1", "h=h", {{0x1234, 0x1234}, {0xffff, 0xffff}});
    check("selp." + type + " $0, $1, $2, $3", "h=hhp", {{1, 2, 1, 1}, {1, 2, 0, 2}});
  }
  for (const std::string type : {"b32", "u32", "s32", "f32"}) {
    check("mov." + type + " $0, $1", "r=r", {{0x12345678, 0x12345678}, {0x7fc12345, 0x7fc12345}});
    check("selp." + type + " $0, $1, $2, $3", "r=rrp", {{1, 2, 1, 1}, {1, 2, 0, 2}});
  }
  for (const std::string type : {"b64", "u64", "s64", "f64"}) {
    check("mov." + type + " $0, $1", "d=d", {{0x123456789abcdef0, 0x123456789abcdef0}});
    check("selp." + type + " $0, $1, $2, $3", "d=ddp", {{1, 2, 1, 1}, {1, 2, 0, 2}});
  }
  check("mov.f32 $0, 0fBFC00000", "r=", {{bits(-1.5f)}});
  check("mov.f64 $0, 0dC002000000000000", "d=", {{bits(-2.25)}});
  check("mov.u32 $0, -2", "r=", {{0xfffffffe}});
  check("mov.u64 $0, 0xFFFFFFFFFFFFFFFF", "d=", {{~0ull}});
  check("mov.b32 $0, {$1, $2}", "r=hh", {{0x1111, 0x2222, 0x22221111}});
  check("mov.b32 $0, {0, $1}", "r=h", {{0x3f80, 0x3f800000}});
  check("mov.b32 {$0, $1}, $2", "hh=r", {{0x22221111, 0x1111, 0x2222}});
  check("mov.b32 {_, $0}, $1", "h=r", {{0x22221111, 0x2222}});
  check("mov.b64 $0, {$1, $2}", "d=rr", {{0x11111111, 0x22222222, 0x2222222211111111}});
  check("mov.b64 {$0, $1}, $2", "rr=d", {{0x2222222211111111, 0x11111111, 0x22222222}});
  check("mov.b64 {$0, $1, $2, $3}, $4", "hhhh=d", {{0x4444333322221111, 0x1111, 0x2222, 0x3333, 0x4444}});
  check("mov.b64 $0, {$1, $2, $3, $4}", "d=hhhh", {{1, 2, 3, 4, 0x0004000300020001}});
  check("mov.pred $0, $1", "p=p", {{0, 0}, {1, 1}});
  check("mov.pred $0, 0; mov.pred $1, 1; mov.pred $2, -1", "ppp=", {{0, 1, 1}});
  check("and.pred $0, $1, $2", "p=pp", {{0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 1, 1}});
  check("or.pred $0, $1, $2", "p=pp", {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 1}});
  check("xor.pred $0, $1, $2", "p=pp", {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}});
  check("not.pred $0, $1", "p=p", {{0, 1}, {1, 0}});
  // Special registers of thread 0 to 33 of one block.
  std::vector<Row> lanes, masks;
  for (u64 t = 0; t < 34; ++t) {
    lanes.push_back({t, t % 32, t / 32, 34});
    masks.push_back({(1ull << t % 32) - 1, ~((2ull << t % 32) - 1)});
  }
  check("mov.u32 $0, %tid.x; mov.u32 $1, %laneid; mov.u32 $2, %warpid; mov.u32 $3, %ntid.x", "rrrr=", lanes);
  check("mov.u32 $0, %lanemask_lt; mov.u32 $1, %lanemask_gt", "rr=", masks);
  for (const std::string space : {"global", "const"}) {
    check("cvta." + space + ".u64 $0, $1", "d=d", {{12345, 12345}});
    check("cvta.to." + space + ".u64 $0, $1", "d=d", {{12345, 12345}});
  }
  for (const std::string space : {"shared", "local", "param"}) {
    check("cvta." + space + ".u64 $0, $1; cvta.to." + space + ".u64 $0, $0", "d=d", {{123, 123}});
    covers("cvta.to." + space + ".u64");
  }
}

}  // namespace

void test_logic() {
  test_comparisons();
  test_moves();
}

}  // namespace gpuemu::selftest
