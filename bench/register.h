#pragma once
#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <string>

#include "machine_peak.h"

namespace karyon::bench {

/// The work that a benchmark repeats. It is built when the benchmark starts, so that not all of them are in
/// memory at once.
using Prepare = std::function<std::function<void()>()>;

/// Registers a benchmark of wall time. Its rate, `work` per run and second, becomes the counter `unit` in
/// 1e9. A fraction of `peak` is reported, too; the peak is measured in the same process.
inline void register_rate(const std::string& name, const char* unit, double work, double (*peak)(),
                          const Prepare& prepare) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        const std::function<void()> run = prepare();
        if (!run) return state.SkipWithError("not available");
        run();
        const auto start = std::chrono::steady_clock::now();
        for (auto _ : state) run();
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        const double rate = work * static_cast<double>(state.iterations()) / time.count();
        state.counters[unit] = rate / 1e9;
        state.counters["of_peak"] = rate / peak();
      })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

inline void register_flops(const std::string& name, double flops, const Prepare& prepare) {
  register_rate(name, "GFLOP/s", flops, fma_peak, prepare);
}

/// In bf16, where the processor has dot products of it.
inline void register_bf16_flops(const std::string& name, double flops, const Prepare& prepare) {
  register_rate(name, "GFLOP/s", flops, bf16_peak, prepare);
}

/// bytes: the least memory to read and write, each byte once.
inline void register_bytes(const std::string& name, double bytes, const Prepare& prepare) {
  register_rate(name, "GB/s", bytes, copy_peak, prepare);
}

}  // namespace karyon::bench
