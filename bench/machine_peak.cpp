#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <karyon/core/parallel.h>

#include "machine_peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine_peak.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns operations per second; 12 chains hide the latency of two FMA units.
double fma_rate() {
  constexpr int chains = 12;
  constexpr long steps = 20'000'000;
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> acc[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i)
    acc[i] = hn::Set(d, 1.0f + static_cast<float>(i));  // distinct, or they merge
  const auto b = hn::Set(d, 1.0000001f), c = hn::Set(d, 1e-9f);
  const auto start = std::chrono::steady_clock::now();
  for (long s = 0; s < steps; ++s) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) acc[i] = hn::MulAdd(acc[i], b, c);
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  auto sum = acc[0];
#pragma GCC unroll 12
  for (int i = 1; i < chains; ++i) sum = hn::Add(sum, acc[i]);
  volatile float sink = hn::GetLane(hn::SumOfLanes(d, sum));
  (void)sink;
  return 2.0 * chains * static_cast<double>(hn::Lanes(d)) * steps / time.count();
}

}  // namespace karyon::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <karyon/core/cpu/conv/tiles_bf16.h>

#include <karyon/core/cpu/simd/bf16_dot.h>

namespace karyon::bench {

#if KARYON_BF16_DOT
KARYON_BF16_BEGIN
// As fma_rate, with dot products of pairs: four operations a lane.
double dot_rate() {
  constexpr int chains = 24;
  constexpr long steps = 10'000'000;
  __m512 acc[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto one = (__m512bh)_mm512_set1_epi32(0x3f803f80), tiny = (__m512bh)_mm512_set1_epi32(0x30003000);
  const auto start = std::chrono::steady_clock::now();
  for (long s = 0; s < steps; ++s) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i) acc[i] = _mm512_dpbf16_ps(acc[i], one, tiny);
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  __m512 sum = acc[0];
#pragma GCC unroll 24
  for (int i = 1; i < chains; ++i) sum = _mm512_add_ps(sum, acc[i]);
  float lanes[16];
  _mm512_storeu_ps(lanes, sum);
  volatile float sink = lanes[0];
  (void)sink;
  return 4.0 * 16 * chains * steps / time.count();
}
KARYON_BF16_END
#else
double dot_rate() { return 0; }
#endif

HWY_EXPORT(fma_rate);

double copy_peak() {
  static const double peak = [] {
    constexpr std::int64_t size = std::int64_t{256} << 20;
    std::vector<char> from(size, 1), to(size, 2);
    double best = 0;
    for (int run = 0; run < 4; ++run) {
      const auto start = std::chrono::steady_clock::now();
      parallel_for(size, size / num_threads() + 1, [&](std::int64_t begin, std::int64_t end) {
        std::copy(from.data() + begin, from.data() + end, to.data() + begin);
      });
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      best = std::max(best, 2.0 * static_cast<double>(size) / time.count());
    }
    return best;
  }();
  return peak;
}

namespace {

// The rate of all threads together, the best of several runs.
template <class F>
double best_sum(F rate_of_one) {
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    std::vector<double> rates(static_cast<std::size_t>(num_threads()));
    std::vector<std::thread> threads;
    for (double& rate : rates) threads.emplace_back([&] { rate = rate_of_one(); });
    for (std::thread& thread : threads) thread.join();
    double sum = 0;
    for (double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace

double fma_peak() {
  static const double peak = best_sum([] { return HWY_DYNAMIC_DISPATCH(fma_rate)(); });
  return peak;
}

double bf16_peak() {
  static const double peak = cpu::has_bf16_dot() ? best_sum(dot_rate) : 0;
  return peak;
}

}  // namespace karyon::bench
#endif
