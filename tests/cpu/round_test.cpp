#include <karyon/core/cpu/simd/round.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>

using karyon::cpu::ceil_div;
using karyon::cpu::round_up;

TEST_CASE("ceil_div and round_up round up, and leave what is whole") {
  CHECK(ceil_div(0, 5) == 0);
  CHECK(ceil_div(1, 5) == 1);
  CHECK(ceil_div(5, 5) == 1);
  CHECK(ceil_div(6, 5) == 2);
  CHECK(round_up(0, 16) == 0);
  CHECK(round_up(1, 16) == 16);
  CHECK(round_up(16, 16) == 16);
  CHECK(round_up(17, 16) == 32);
}

TEST_CASE("ceil_div and round_up keep the type of what is rounded") {
  const std::int64_t large = std::int64_t{1} << 40;
  CHECK(ceil_div(large + 1, 2) == (large >> 1) + 1);
  CHECK(round_up(large - 1, 1 << 20) == large);
  CHECK(round_up(std::size_t{65}, 64) == 128);
}
