// f32: computed in double and rounded once more, which is harmless for +, -, *, / and square roots. f64: in
// 113 bits. Other values are stated.
#include <cmath>
#include <limits>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;
__extension__ using Quad = __float128;

constexpr u64 na_n = 0x7fffffff;
constexpr float inf_float = std::numeric_limits<float>::infinity();
constexpr u64 tiny_bits = 1, most_tiny = 0x007fffff, negative_tiny = 0x80000001;  // subnormal numbers

const std::vector<u64>& floats() {
  static const std::vector<u64> values = {bits(0.0f),
                                          bits(-0.0f),
                                          bits(1.0f),
                                          bits(-1.0f),
                                          bits(1.5f),
                                          bits(0x1.000002p0f),
                                          bits(0x1.fffffep-1f),
                                          bits(3.0f),
                                          bits(-7.25f),
                                          bits(1e30f),
                                          bits(-1e30f),
                                          bits(std::numeric_limits<float>::max()),
                                          bits(std::numeric_limits<float>::min()),
                                          tiny_bits,
                                          most_tiny,
                                          negative_tiny,
                                          bits(inf_float),
                                          bits(-inf_float),
                                          0x7fc00000,
                                          0xffc00001,
                                          bits(16777216.0f),
                                          bits(0.1f)};
  return values;
}
const std::vector<u64>& doubles() {
  static const std::vector<u64> values = {
      bits(0.0),   bits(-0.0),    bits(1.0), bits(-1.5), bits(0x1.0000000000001p0), bits(3.0),
      bits(1e300), bits(-1e-300), 1,         bits(0.1),  bits(9007199254740992.0)};
  return values;
}

u64 single(double x) { return x != x ? na_n : bits(static_cast<float>(x)); }
double flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0, x) : static_cast<double>(x);
}
float flush_result(float x) { return static_cast<float>(flushed(x)); }
double saturated(double x) { return x > 1 ? 1 : x > 0 ? x : 0; }

enum class Direction { down, up, zero };

/// The exact x, rounded to f32 in a direction.
template <class T, class Exact>
T directed(Exact x, Direction direction) {
  const T r = static_cast<T>(x);
  const Exact back = r;
  const T inf = std::numeric_limits<T>::infinity();
  if (x == 0) return direction == Direction::down && !std::signbit(r) ? -r : r;  // a difference of equals
  if (x != x || back == x) return r;
  const bool down = direction == Direction::down || (direction == Direction::zero && x > 0);
  if (down && back > x) return std::nextafter(r, -inf);
  if (!down && back < x) return std::nextafter(r, inf);
  return r;
}

template <class F>
void binary_single(const std::string& op, const std::string& rounding, F f) {
  const std::string head = op + (rounding.empty() ? "" : "." + rounding);
  const auto value = [&](u64 a, u64 b) {
    return f(static_cast<double>(as_float(a)), static_cast<double>(as_float(b)));
  };
  check(head + ".f32 $0, $1, $2", "r=rr",
        table(floats(), floats(), [&](u64 a, u64 b) { return single(value(a, b)); }));
  check(head + ".ftz.f32 $0, $1, $2", "r=rr", table(floats(), floats(), [&](u64 a, u64 b) {
          const double x = f(flushed(as_float(a)), flushed(as_float(b)));
          return x != x ? na_n : bits(flush_result(static_cast<float>(x)));
        }));
}

template <class F>
void saturating(const std::string& op, F f) {
  check(op + ".sat.f32 $0, $1, $2", "r=rr", table(floats(), floats(), [&](u64 a, u64 b) {
          return single(saturated(f(static_cast<double>(as_float(a)), static_cast<double>(as_float(b)))));
        }));
}

template <class F>
void binary_double(const std::string& op, F f) {
  check(
      op + ".f64 $0, $1, $2", "d=dd", table(doubles(), doubles(), [&](u64 a, u64 b) {
        return bits(static_cast<double>(f(static_cast<Quad>(as_double(a)), static_cast<Quad>(as_double(b)))));
      }));
}

template <class F>
void directed_binary(const std::string& op, F f) {
  // Values whose exact results fit into 113 bits, so that the direction is known.
  const std::vector<u64> values = {bits(1.0f), bits(-1.0f), bits(1e-7f), bits(-1e-7f),
                                   bits(3.0f), bits(0.1f),  bits(-7.3f)};
  for (const auto& [name, direction] :
       {std::pair("rm", Direction::down), std::pair("rp", Direction::up), std::pair("rz", Direction::zero)}) {
    const auto dir = direction;
    check(op + "." + name + ".f32 $0, $1, $2", "r=rr", table(values, values, [&](u64 a, u64 b) {
            return bits(
                directed<float>(f(static_cast<Quad>(as_float(a)), static_cast<Quad>(as_float(b))), dir));
          }));
    check(op + "." + name + ".ftz.f32 $0, $1, $2", "r=rr",
          {{bits(1.0f), tiny_bits, bits(static_cast<float>(f(Quad{1}, Quad{0})))}});
    std::vector<u64> wide;
    for (const u64 v : values) wide.push_back(bits(static_cast<double>(as_float(v))));
    check(op + "." + name + ".f64 $0, $1, $2", "d=dd", table(wide, wide, [&](u64 a, u64 b) {
            return bits(
                directed<double>(f(static_cast<Quad>(as_double(a)), static_cast<Quad>(as_double(b))), dir));
          }));
  }
}

void test_arithmetic() {
  const auto add = [](auto a, auto b) { return a + b; };
  const auto sub = [](auto a, auto b) { return a - b; };
  const auto mul = [](auto a, auto b) { return a * b; };
  const auto div = [](auto a, auto b) { return a / b; };
  for (const std::string rounding : {"", "rn"}) {
    binary_single("add", rounding, add);
    binary_single("sub", rounding, sub);
    binary_single("mul", rounding, mul);
  }
  for (const std::string rounding : {"rn", "approx", "full"}) binary_single("div", rounding, div);
  saturating("add", add);
  saturating("sub", sub);
  saturating("mul", mul);
  for (const std::string rounding : {"", ".rn"}) {
    binary_double("add" + rounding, add);
    binary_double("sub" + rounding, sub);
    binary_double("mul" + rounding, mul);
  }
  std::vector<Row> quotients;
  for (const u64 a : doubles())
    for (const u64 b : doubles())
      if (as_double(b) != 0)
        quotients.push_back(
            {a, b, bits(static_cast<double>(static_cast<Quad>(as_double(a)) / as_double(b)))});
  quotients.push_back({bits(1.0), bits(0.0), bits(std::numeric_limits<double>::infinity())});
  check("div.rn.f64 $0, $1, $2", "d=dd", quotients);
  directed_binary("add", add);
  directed_binary("sub", sub);
  directed_binary("mul", mul);
  check("div.rz.f32 $0, $1, $2", "r=rr",
        {{bits(1.0f), bits(3.0f), 0x3eaaaaaa}, {bits(2.0f), bits(3.0f), 0x3f2aaaaa}});
  check("div.rp.f32 $0, $1, $2", "r=rr",
        {{bits(1.0f), bits(3.0f), 0x3eaaaaab}, {bits(2.0f), bits(3.0f), 0x3f2aaaab}});
  check("div.rm.f32 $0, $1, $2", "r=rr", {{bits(1.0f), bits(3.0f), 0x3eaaaaaa}});
}

void test_fused() {
  // 1 + 2^-23 squared is 1 + 2^-22 + 2^-46: the last term is lost unless it is added before rounding.
  const u64 a = bits(0x1.000002p0f), minus = bits(-0x1.000004p0f);
  const std::vector<Row> rows = {{a, a, minus, bits(0x1p-46f)},
                                 {bits(2.0f), bits(3.0f), bits(4.0f), bits(10.0f)},
                                 {bits(inf_float), bits(0.0f), bits(1.0f), na_n},
                                 {bits(inf_float), bits(1.0f), bits(-inf_float), na_n},
                                 {bits(-1.0f), bits(1.0f), bits(1.0f), bits(0.0f)},
                                 {bits(-0.0f), bits(1.0f), bits(-0.0f), bits(-0.0f)},
                                 {bits(1e30f), bits(1e30f), bits(1.0f), bits(inf_float)}};
  for (const std::string r : {"rn", "rm", "rp", "rz"}) {
    std::vector<Row> known = rows;
    if (r == "rm") known[4][3] = bits(-0.0f);
    if (r == "rm" || r == "rz") known[6][3] = bits(std::numeric_limits<float>::max());
    check("fma." + r + ".f32 $0, $1, $2, $3", "r=rrr", known);
    check("fma." + r + ".ftz.f32 $0, $1, $2, $3", "r=rrr",
          {known[0], known[1], {bits(1.0f), tiny_bits, bits(0.0f), bits(0.0f)}});
    check("fma." + r + ".sat.f32 $0, $1, $2, $3", "r=rrr",
          {{bits(2.0f), bits(3.0f), bits(4.0f), bits(1.0f)},
           {bits(-2.0f), bits(3.0f), bits(4.0f), 0},
           {bits(0.5f), bits(0.5f), bits(0.25f), bits(0.5f)}});
    check("fma." + r + ".ftz.sat.f32 $0, $1, $2, $3", "r=rrr",
          {{bits(2.0f), bits(3.0f), bits(4.0f), bits(1.0f)}});
  }
  check("fma.rz.f32 $0, $1, $2, $3", "r=rrr", {{bits(1.0f), bits(1.0f), bits(0x1p-30f), bits(1.0f)}});
  check("fma.rp.f32 $0, $1, $2, $3", "r=rrr", {{bits(1.0f), bits(1.0f), bits(0x1p-30f), a}});
  const u64 b = bits(0x1.0000000000001p0);
  for (const std::string r : {"rn", "rm", "rp", "rz"})
    check(
        "fma." + r + ".f64 $0, $1, $2, $3", "d=ddd",
        {{b, b, bits(-0x1.0000000000002p0), bits(0x1p-104)}, {bits(2.0), bits(3.0), bits(4.0), bits(10.0)}});
}

void test_roots() {
  const std::vector<Row> reciprocals = {{bits(2.0f), bits(0.5f)},      {bits(-4.0f), bits(-0.25f)},
                                        {bits(0.0f), bits(inf_float)}, {bits(-0.0f), bits(-inf_float)},
                                        {bits(inf_float), bits(0.0f)}, {0x7fc00000, na_n}};
  for (const std::string r : {"rn", "rm", "rp", "rz", "approx"}) {
    check("rcp." + r + ".f32 $0, $1", "r=r", reciprocals);
    check("rcp." + r + ".ftz.f32 $0, $1", "r=r",
          {reciprocals[0], {tiny_bits, bits(inf_float)}, {bits(0x1p127f), bits(0.0f)}});
    check("sqrt." + r + ".f32 $0, $1", "r=r",
          {{bits(9.0f), bits(3.0f)},
           {bits(-0.0f), bits(-0.0f)},
           {bits(-1.0f), na_n},
           {bits(inf_float), bits(inf_float)},
           {bits(0.25f), bits(0.5f)}});
    check("sqrt." + r + ".ftz.f32 $0, $1", "r=r", {{bits(9.0f), bits(3.0f)}, {tiny_bits, 0}});
    if (r == "approx") continue;
    check("rcp." + r + ".f64 $0, $1", "d=d", {{bits(4.0), bits(0.25)}, {bits(-0.5), bits(-2.0)}});
    check("sqrt." + r + ".f64 $0, $1", "d=d", {{bits(2.25), bits(1.5)}, {bits(0.0), bits(0.0)}});
  }
  check("rcp.rn.f32 $0, $1", "r=r", {{bits(3.0f), 0x3eaaaaab}});
  check("rcp.rz.f32 $0, $1", "r=r", {{bits(3.0f), 0x3eaaaaaa}});
  check("sqrt.rn.f32 $0, $1", "r=r", {{bits(2.0f), 0x3fb504f3}});
  check("sqrt.rm.f32 $0, $1", "r=r", {{bits(2.0f), 0x3fb504f3}, {bits(3.0f), 0x3fddb3d7}});
  check("sqrt.rp.f32 $0, $1", "r=r", {{bits(2.0f), 0x3fb504f4}, {bits(3.0f), 0x3fddb3d8}});
  check("sqrt.rn.f64 $0, $1", "d=d", {{bits(2.0), 0x3ff6a09e667f3bcd}});
  check("rcp.rn.f64 $0, $1", "d=d", {{bits(3.0), 0x3fd5555555555555}});
  check("rcp.approx.ftz.f64 $0, $1", "d=d",
        {{bits(4.0), bits(0.25)}, {bits(3.0), 0x3fd5555500000000}, {bits(0.0), 0x7ff0000000000000}});
  for (const std::string ftz : {"", ".ftz"})
    check("rsqrt.approx" + ftz + ".f32 $0, $1", "r=r",
          {{bits(4.0f), bits(0.5f)},
           {bits(0.0f), bits(inf_float)},
           {bits(-1.0f), na_n},
           {bits(inf_float), 0},
           {bits(0.0625f), bits(4.0f)}});
  check("rsqrt.approx.f64 $0, $1", "d=d", {{bits(4.0), bits(0.5)}});
}

void test_functions() {
  for (const std::string ftz : {"", ".ftz"}) {
    check("ex2.approx" + ftz + ".f32 $0, $1", "r=r",
          {{bits(0.0f), bits(1.0f)},
           {bits(3.0f), bits(8.0f)},
           {bits(-1.0f), bits(0.5f)},
           {bits(0.5f), 0x3fb504f3},
           {bits(-inf_float), 0},
           {bits(inf_float), bits(inf_float)},
           {bits(200.0f), bits(inf_float)},
           {0x7fc00000, na_n},
           {bits(-127.0f), ftz.empty() ? 0x00400000u : 0u}});
    check("lg2.approx" + ftz + ".f32 $0, $1", "r=r",
          {{bits(1.0f), 0},
           {bits(8.0f), bits(3.0f)},
           {bits(0.25f), bits(-2.0f)},
           {bits(0.0f), bits(-inf_float)},
           {bits(-1.0f), na_n},
           {bits(inf_float), bits(inf_float)},
           {0x00400000, ftz.empty() ? bits(-127.0f) : bits(-inf_float)}});
    check("sin.approx" + ftz + ".f32 $0, $1", "r=r",
          {{0, 0}, {bits(-0.0f), bits(-0.0f)}, {bits(1.57079637f), bits(1.0f)}, {bits(inf_float), na_n}});
    check("cos.approx" + ftz + ".f32 $0, $1", "r=r",
          {{0, bits(1.0f)}, {bits(3.14159274f), bits(-1.0f)}, {bits(inf_float), na_n}});
    check("neg" + ftz + ".f32 $0, $1", "r=r",
          {{bits(1.5f), bits(-1.5f)},
           {0, bits(-0.0f)},
           {bits(-inf_float), bits(inf_float)},
           {tiny_bits, ftz.empty() ? negative_tiny : bits(-0.0f)}});
    check("abs" + ftz + ".f32 $0, $1", "r=r",
          {{bits(-1.5f), bits(1.5f)}, {bits(-0.0f), 0}, {negative_tiny, ftz.empty() ? tiny_bits : 0}});
  }
  check("tanh.approx.f32 $0, $1", "r=r",
        {{0, 0}, {bits(inf_float), bits(1.0f)}, {bits(-inf_float), bits(-1.0f)}, {bits(1.0f), 0x3f42f7d6}});
  check("neg.f64 $0, $1", "d=d", {{bits(1.5), bits(-1.5)}, {bits(0.0), bits(-0.0)}});
  check("abs.f64 $0, $1", "d=d", {{bits(-1.5), bits(1.5)}, {bits(-0.0), bits(0.0)}});
  check("copysign.f32 $0, $1, $2", "r=rr",
        {{bits(-2.0f), bits(3.0f), bits(-3.0f)}, {bits(0.0f), bits(-1.0f), bits(1.0f)}});
  check("copysign.f64 $0, $1, $2", "d=dd", {{bits(-2.0), bits(3.0), bits(-3.0)}});
  const u64 normal = bits(1.0f), quiet = 0x7fc00000;
  check("testp.finite.f32 $0, $1", "p=r", {{normal, 1}, {tiny_bits, 1}, {bits(inf_float), 0}, {quiet, 0}});
  check("testp.infinite.f32 $0, $1", "p=r", {{normal, 0}, {bits(-inf_float), 1}, {quiet, 0}});
  check("testp.number.f32 $0, $1", "p=r", {{normal, 1}, {bits(inf_float), 1}, {quiet, 0}});
  check("testp.notanumber.f32 $0, $1", "p=r", {{normal, 0}, {quiet, 1}});
  check("testp.normal.f32 $0, $1", "p=r", {{normal, 1}, {tiny_bits, 0}, {0, 0}, {bits(inf_float), 0}});
  check("testp.subnormal.f32 $0, $1", "p=r", {{normal, 0}, {most_tiny, 1}, {0, 0}});
}

void test_extrema() {
  const u64 one = bits(1.0f), two = bits(2.0f), plus = bits(0.0f), minus = bits(-0.0f), quiet = 0x7fc00000;
  for (const std::string ftz : {"", ".ftz"}) {
    const u64 tiny = ftz.empty() ? tiny_bits : 0;
    check("min" + ftz + ".f32 $0, $1, $2", "r=rr",
          {{one, two, one},
           {two, one, one},
           {plus, minus, minus},
           {minus, plus, minus},
           {quiet, one, one},
           {one, quiet, one},
           {quiet, quiet, na_n},
           {bits(-inf_float), one, bits(-inf_float)},
           {tiny_bits, one, tiny}});
    check("max" + ftz + ".f32 $0, $1, $2", "r=rr",
          {{one, two, two},
           {two, one, two},
           {plus, minus, plus},
           {minus, plus, plus},
           {quiet, one, one},
           {one, quiet, one},
           {quiet, quiet, na_n},
           {bits(inf_float), one, bits(inf_float)},
           {tiny_bits, plus, tiny}});
    check("min" + ftz + ".NaN.f32 $0, $1, $2", "r=rr",
          {{one, two, one}, {quiet, one, na_n}, {one, quiet, na_n}});
    check("max" + ftz + ".NaN.f32 $0, $1, $2", "r=rr",
          {{one, two, two}, {quiet, one, na_n}, {one, quiet, na_n}});
  }
  check("min.f64 $0, $1, $2", "d=dd",
        {{bits(1.0), bits(2.0), bits(1.0)},
         {bits(-0.0), bits(0.0), bits(-0.0)},
         {0x7ff8000000000000, bits(1.0), bits(1.0)}});
  check("max.f64 $0, $1, $2", "d=dd",
        {{bits(1.0), bits(2.0), bits(2.0)},
         {bits(-0.0), bits(0.0), bits(0.0)},
         {bits(1.0), 0x7ff8000000000000, bits(1.0)}});
}

}  // namespace

void test_float() {
  test_arithmetic();
  test_fused();
  test_roots();
  test_functions();
  test_extrema();
}

void test_half() {
  // bf16: 1 is 0x3f80, of 7 bits of fraction; f16: 1 is 0x3c00, of 10. 0x7fff is no number.
  struct Format {
    const char* name;
    u64 one, two, three, half, ulp_after_one, infinity, most;
  };
  constexpr Format bf16 = {"bf16", 0x3f80, 0x4000, 0x4040, 0x3f00, 0x3f81, 0x7f80, 0x7f7f};
  constexpr Format f16 = {"f16", 0x3c00, 0x4000, 0x4200, 0x3800, 0x3c01, 0x7c00, 0x7bff};
  for (const Format& f : {bf16, f16}) {
    const u64 sign = 0x8000, none = 0x7fff;
    const auto both = [&](const std::string& op, std::size_t operands, const std::vector<Row>& rows) {
      const std::string list = operands == 1 ? " $0, $1" : operands == 2 ? " $0, $1, $2" : " $0, $1, $2, $3";
      check(op + "." + f.name + list, "h=" + std::string(operands, 'h'), rows);
      // In pairs: the row above a fixed one, and the other way round.
      std::vector<Row> pairs;
      for (const Row& r : rows) {
        Row high, low;
        for (std::size_t i = 0; i < r.size(); ++i) {
          high.push_back(r[i] << 16 | rows[0][i]);
          low.push_back(rows[0][i] << 16 | r[i]);
        }
        pairs.push_back(high);
        pairs.push_back(low);
      }
      check(op + "." + f.name + "x2" + list, "r=" + std::string(operands, 'r'), pairs);
    };
    const std::vector<Row> sums = {
        {f.one, f.two, f.three},      {f.one, f.one | sign, 0}, {f.infinity, f.infinity | sign, none},
        {f.most, f.most, f.infinity}, {none, f.one, none},      {sign, sign, sign}};
    const std::vector<Row> differences = {
        {f.three, f.two, f.one}, {f.one, f.one, 0}, {f.infinity, f.infinity, none}};
    const std::vector<Row> products = {
        {f.two, f.half, f.one}, {f.most, f.two, f.infinity}, {sign, f.one, sign}, {0, f.infinity, none}};
    for (const std::string r : {"", ".rn"}) {
      both("add" + r, 2, sums);
      both("sub" + r, 2, differences);
      both("mul" + r, 2, products);
    }
    // (1 + u)^2 - (1 + 2u) = u^2, which shows only if nothing is rounded before the sum.
    const u64 square = f.name[0] == 'b' ? (127u - 14) << 7 : (15u - 10 - 10 + 0) << 10;
    std::vector<Row> fused = {{f.two, f.three, f.one, f.name[0] == 'b' ? 0x40e0u : 0x4700u},
                              {f.infinity, 0, f.one, none},
                              {f.one, f.one, f.one | sign, 0}};
    if (f.name[0] == 'b')
      fused.push_back({f.ulp_after_one, f.ulp_after_one, (f.one + 2) | sign, square});
    else
      fused.push_back(
          {f.ulp_after_one, f.ulp_after_one, (f.one + 2) | sign, 0x0010});  // 2^-20, a subnormal number
    // A tie that a very small third operand decides: half an ulp above 1, and a little.
    fused.push_back({f.half, f.name[0] == 'b' ? u64{0x3c00} : u64{0x1400}, f.one, f.one});  // tie to even
    both("fma.rn", 3, fused);
    both("fma.rn.relu", 3,
         {{f.two, f.three, f.one, f.name[0] == 'b' ? 0x40e0u : 0x4700u}, {f.one, f.one, f.three | sign, 0}});
    both("min", 2,
         {{f.one, f.two, f.one}, {none, f.one, f.one}, {0, sign, sign}, {sign, 0, sign}, {none, none, none}});
    both("max", 2,
         {{f.one, f.two, f.two}, {f.one, none, f.one}, {0, sign, 0}, {sign, 0, 0}, {none, none, none}});
    both("min.NaN", 2, {{f.one, f.two, f.one}, {none, f.one, none}});
    both("max.NaN", 2, {{f.one, f.two, f.two}, {f.one, none, none}});
    both("neg", 1, {{f.one, f.one | sign}, {f.two | sign, f.two}});
    both("abs", 1, {{f.one | sign, f.one}, {f.two, f.two}});
    both("tanh.approx", 1, {{0, 0}, {f.infinity, f.one}, {f.infinity | sign, f.one | sign}});
    both(f.name[0] == 'b' ? "ex2.approx.ftz" : "ex2.approx", 1,
         {{0, f.one}, {f.one, f.two}, {f.one | sign, f.half}, {f.infinity | sign, 0}});
  }
}

}  // namespace gpuemu::selftest
