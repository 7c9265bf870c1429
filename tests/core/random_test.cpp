#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <thread>

#include <karyon/core/random.h>

#include "op_check.h"

using namespace karyon;
using Words = std::array<std::uint32_t, 4>;

TEST_CASE("philox: the known answers of Random123") {
  CHECK(philox(0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(~0ull, ~0ull, ~0ull) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: uniform numbers have the moments of the uniform distribution") {
  Generator generator(3);
  const auto x = rand({1 << 20}, generator).to_vector<double>();
  double mean = 0, square = 0;
  for (const double v : x) mean += v, square += v * v;
  const auto n = static_cast<double>(x.size());
  CHECK(mean / n == Approx(0.5).margin(5 * std::sqrt(1 / 12.0 / n)));
  CHECK(square / n - mean * mean / n / n == Approx(1 / 12.0).margin(1e-3));
  CHECK(*std::min_element(x.begin(), x.end()) >= 0);
  CHECK(*std::max_element(x.begin(), x.end()) < 1);
}

TEST_CASE("random: normal numbers have the moments of the normal distribution") {
  Generator generator(4);
  const auto x = randn({1 << 20}, generator).to_vector<double>();
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, inside = 0, neighbours = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = x[i];
    m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
    inside += std::abs(v) < 1;
    if (i > 0) neighbours += v * x[i - 1];
  }
  const auto n = static_cast<double>(x.size());
  CHECK(m1 / n == Approx(0).margin(5e-3));
  CHECK(m2 / n == Approx(1).margin(1e-2));
  CHECK(m3 / n == Approx(0).margin(2e-2));
  CHECK(m4 / n == Approx(3).margin(6e-2));
  CHECK(inside / n == Approx(0.682689).margin(3e-3));
  CHECK(neighbours / n == Approx(0).margin(5e-3));
}

TEST_CASE("random: ranges and parameters are kept") {
  Generator generator(5);
  Tensor x = empty({1000}, {.dtype = f64});
  for (const double v : uniform_(x, -3, 2, generator).to_vector<double>()) CHECK((v >= -3 && v < 2));
  Tensor y = empty({10001});  // not a multiple of four
  double mean = 0;
  for (const double v : normal_(y, 10, 0.5, generator).to_vector<double>()) mean += v / 10001;
  CHECK(mean == Approx(10).margin(0.05));
  std::set<std::int64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(generator.below(7));
  CHECK(seen == std::set<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS(generator.below(0), Error);
}

TEST_CASE("random: the same bits with any number of threads") {
  CHECK(test::same_for_any_thread_count([] {
    Generator generator(11);
    return randn({100003}, generator);
  }));
}

TEST_CASE("random: a generator continues from its seed and position") {
  Generator a(9);
  rand({17}, a);
  a.normal();
  Generator b(a.seed(), a.position());
  CHECK(a.next() == b.next());
  CHECK(randn({5}, a).to_vector<float>() == randn({5}, b).to_vector<float>());
  CHECK(Generator(1).next() != Generator(2).next());
  manual_seed(4);
  const auto x = rand({3}).to_vector<float>();
  manual_seed(4);
  CHECK(rand({3}).to_vector<float>() == x);
}

TEST_CASE("random: a guard gives this thread, and no other, its own default generator") {
  manual_seed(4);
  Generator mine(6);
  {
    const GeneratorGuard guard(mine);
    CHECK(&default_generator() == &mine);
    std::thread([&] { CHECK_FALSE(&default_generator() == &mine); }).join();
    Generator inner(7);
    const GeneratorGuard nested(inner);
    CHECK(&default_generator() == &inner);
    rand({8});
  }
  CHECK_FALSE(&default_generator() == &mine);
  CHECK(mine.position() == 0);
  CHECK(default_generator().position() == 0);
  CHECK(&generator_or_default(&mine) == &mine);
  CHECK(&generator_or_default(nullptr) == &default_generator());
}

TEST_CASE("random: threads that draw from one generator never get the same numbers") {
  Generator shared(3);
  std::vector<std::vector<std::uint64_t>> drawn(4);
  std::vector<std::thread> threads;
  for (auto& numbers : drawn)
    threads.emplace_back([&shared, &numbers] {
      for (int i = 0; i < 2000; ++i) numbers.push_back(shared.next());
    });
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  for (const auto& numbers : drawn) all.insert(numbers.begin(), numbers.end());
  CHECK(all.size() == 8000);
  CHECK(shared.position() == 8000);
}

TEST_CASE("random: a permutation holds every index once") {
  Generator generator(1);
  auto order = randperm(1000, generator).to_vector<std::int64_t>();
  CHECK(order != arange(1000).to_vector<std::int64_t>());
  std::sort(order.begin(), order.end());
  CHECK(order == arange(1000).to_vector<std::int64_t>());
  CHECK(randperm(0, generator).numel() == 0);
}
