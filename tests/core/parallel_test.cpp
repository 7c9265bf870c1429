#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/parallel.h>

using namespace karyon;

namespace {
struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};
}  // namespace

TEST_CASE("parallel_for: every index once, in chunks that do not depend on the threads") {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads guard(threads);
    CHECK(num_threads() == threads);
    std::vector<int> hits(10007);
    std::set<std::pair<std::int64_t, std::int64_t>> chunks;
    std::mutex mutex;
    parallel_for(10007, 100, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) ++hits[static_cast<std::size_t>(i)];
      const std::lock_guard lock(mutex);
      chunks.emplace(b, e);
    });
    CHECK(hits == std::vector<int>(10007, 1));
    CHECK(chunks.size() == 101);
    CHECK(chunks.contains({0, 100}));
    CHECK(chunks.contains({10000, 10007}));
  }
}

TEST_CASE("parallel_for: nothing to do, and grains below 1") {
  parallel_for(0, 1, [](std::int64_t, std::int64_t) { FAIL("called"); });
  parallel_for(-5, 1, [](std::int64_t, std::int64_t) { FAIL("called"); });
  std::atomic<int> calls = 0;
  parallel_for(3, 0, [&](std::int64_t, std::int64_t) { ++calls; });
  CHECK(calls == 3);
}

TEST_CASE("parallel_for: an exception reaches the caller, and the threads go on") {
  const Threads guard(4);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_WITH(
        parallel_for(1000, 1, [](std::int64_t b, std::int64_t) { check(b != 500, "chunk ", b); }),
        "chunk 500");
    std::atomic<std::int64_t> sum = 0;
    parallel_for(1000, 1, [&](std::int64_t b, std::int64_t) { sum += b; });
    CHECK(sum == 499500);
  }
}

TEST_CASE("parallel_for: nested calls run in place") {
  const Threads guard(3);
  std::atomic<int> calls = 0;
  parallel_for(10, 1, [&](std::int64_t, std::int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_for(10, 1, [&](std::int64_t, std::int64_t) { calls += std::this_thread::get_id() == outer; });
  });
  CHECK(calls == 100);
}

TEST_CASE("parallel_for: several threads may call at once") {
  const Threads guard(3);
  std::atomic<std::int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        parallel_for(64, 4, [&](std::int64_t b, std::int64_t e) { sum += e - b; });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == 4 * 100 * 64);
}

TEST_CASE("parallel_for: alone under a SerialGuard") {
  const Threads guard(4);
  const auto me = std::this_thread::get_id();
  std::atomic<int> elsewhere = 0;
  {
    const SerialGuard serial;
    parallel_for(1000, 1, [&](std::int64_t, std::int64_t) { elsewhere += std::this_thread::get_id() != me; });
  }
  CHECK(elsewhere == 0);
}

TEST_CASE("set_num_threads: expects 1 or more") {
  CHECK_THROWS_AS(set_num_threads(0), Error);
  CHECK_THROWS_AS(set_num_threads(-3), Error);
}
