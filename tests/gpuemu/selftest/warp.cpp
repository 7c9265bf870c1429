// 32 threads, so that a row is a lane.
#include <bit>

#include "selftest.h"

namespace gpuemu::selftest {
namespace {

using u64 = std::uint64_t;

/// Rows for lanes 0 to 31.
template <class F>
std::vector<Row> lanes(F f) {
  std::vector<Row> rows;
  for (u64 l = 0; l < 32; ++l) rows.push_back(f(l));
  return rows;
}

u64 value(u64 lane) { return 1000 + lane * lane; }

void test_shuffles() {
  for (const u64 width : {32, 8}) {
    const u64 segment = (32 - width) << 8;
    for (const u64 by : {0, 1, 3, 5, 31}) {
      const auto base = [&](u64 l) { return l / width * width; };
      check("shfl.sync.up.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([&](u64 l) {
              const bool ok = l % width >= by % 32;
              return Row{value(l), by, segment, ok ? value(l - by) : value(l), ok};
            }));
      check("shfl.sync.down.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([&](u64 l) {
              const bool ok = l % width + by < width;
              return Row{value(l), by, segment | 31, ok ? value(l + by) : value(l), ok};
            }));
      check("shfl.sync.bfly.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([&](u64 l) {
              // Within the segment, or below it.
              const u64 from = l ^ by;
              const bool ok = from <= (base(l) | (width - 1));
              return Row{value(l), by, segment | 31, ok ? value(from) : value(l), ok};
            }));
      check("shfl.sync.idx.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([&](u64 l) {
              return Row{value(l), by, segment | 31, value(base(l) + by % width), 1};
            }));
    }
  }
  // Clamps within the warp.
  check("shfl.sync.up.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([](u64 l) {
          return Row{value(l), 1, 2, l >= 3 ? value(l - 1) : value(l), l >= 3};
        }));
  check("shfl.sync.down.b32 $0|$1, $2, $3, $4, -1", "rp=rrr", lanes([](u64 l) {
          return Row{value(l), 1, 20, l + 1 <= 20 ? value(l + 1) : value(l), l + 1 <= 20};
        }));
  // Without the predicate, and each half of the warp by itself.
  check("shfl.sync.bfly.b32 $0, $1, 1, 31, $2", "r=rr", lanes([](u64 l) {
          return Row{value(l), l < 16 ? 0xffffu : 0xffff0000u, value(l ^ 1)};
        }));
}

void test_votes() {
  for (const u64 members : {0xffffffffull, 0x0f0f0f0full}) {
    // Lanes are in the group of the mask or in that of the rest.
    const auto group = [&](u64 l) { return (members >> l & 1) != 0 ? members : ~members & 0xffffffff; };
    for (const u64 votes : {0x00000000ull, 0xffffffffull, 0x0f0f0f0full, 0x80000001ull}) {
      const auto p = [&](u64 l) { return votes >> l & 1; };
      check("vote.sync.ballot.b32 $0, $1, $2", "r=pr", lanes([&](u64 l) {
              return Row{p(l), group(l), votes & group(l)};
            }));
      check("vote.sync.all.pred $0, $1, $2", "p=pr", lanes([&](u64 l) {
              return Row{p(l), group(l), (votes & group(l)) == group(l)};
            }));
      check("vote.sync.any.pred $0, $1, $2", "p=pr", lanes([&](u64 l) {
              return Row{p(l), group(l), (votes & group(l)) != 0};
            }));
      check("vote.sync.any.pred $0, !$1, $2", "p=pr", lanes([&](u64 l) {
              return Row{p(l), group(l), (~votes & group(l)) != 0};
            }));
      check("vote.sync.uni.pred $0, $1, $2", "p=pr", lanes([&](u64 l) {
              return Row{p(l), group(l), (votes & group(l)) == 0 || (votes & group(l)) == group(l)};
            }));
    }
  }
  check("activemask.b32 $0", "r=", lanes([](u64) { return Row{0xffffffff}; }));
}

void test_reductions() {
  const u64 half = 0x0000ffff;
  const auto members = [&](u64 l) { return l < 16 ? half : ~half & 0xffffffff; };
  const auto v = [](u64 l) {
    return l == 3 ? 0x80000000u : l == 5 ? 0x7fffffffu : static_cast<std::uint32_t>(l * 7919);
  };
  const auto reduced = [&](auto combine) {
    return lanes([&](u64 l) {
      const u64 first = l < 16 ? 0 : 16;
      std::uint32_t sum = v(first);
      for (u64 o = first + 1; o < first + 16; ++o) sum = combine(sum, v(o));
      return Row{v(l), members(l), sum};
    });
  };
  using u32 = std::uint32_t;
  const auto as_signed = [](u32 x) { return static_cast<std::int32_t>(x); };
  check("redux.sync.add.u32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a + b; }));
  check("redux.sync.add.s32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a + b; }));
  check("redux.sync.min.u32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a < b ? a : b; }));
  check("redux.sync.max.u32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a < b ? b : a; }));
  check("redux.sync.min.s32 $0, $1, $2", "r=rr",
        reduced([&](u32 a, u32 b) { return as_signed(a) < as_signed(b) ? a : b; }));
  check("redux.sync.max.s32 $0, $1, $2", "r=rr",
        reduced([&](u32 a, u32 b) { return as_signed(a) < as_signed(b) ? b : a; }));
  check("redux.sync.and.b32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a & b; }));
  check("redux.sync.or.b32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a | b; }));
  check("redux.sync.xor.b32 $0, $1, $2", "r=rr", reduced([](u32 a, u32 b) { return a ^ b; }));
}

void test_matches() {
  const auto same = [](u64 l) {  // lanes with the same l % 3
    u64 mask = 0;
    for (u64 o = l % 3; o < 32; o += 3) mask |= 1ull << o;
    return mask;
  };
  check("match.any.sync.b32 $0, $1, -1", "r=r", lanes([&](u64 l) { return Row{l % 3, same(l)}; }));
  check("match.any.sync.b64 $0, $1, -1", "r=d", lanes([&](u64 l) { return Row{(l % 3) << 40, same(l)}; }));
  check("match.all.sync.b32 $0|$1, $2, -1", "rp=r", lanes([](u64) { return Row{7, 0xffffffff, 1}; }));
  check("match.all.sync.b32 $0|$1, $2, -1", "rp=r", lanes([](u64 l) { return Row{l / 31, 0, 0}; }));
  check("match.all.sync.b64 $0|$1, $2, -1", "rp=d", lanes([](u64) {
          return Row{1ull << 40, 0xffffffff, 1};
        }));
}

}  // namespace

void test_warp() {
  test_shuffles();
  test_votes();
  test_reductions();
  test_matches();
}

}  // namespace gpuemu::selftest
