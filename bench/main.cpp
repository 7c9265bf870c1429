#include <benchmark/benchmark.h>

#include <string>

#include <karyon/core/parallel.h>

#include "machine_peak.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("threads", std::to_string(karyon::num_threads()));
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(karyon::bench::fma_peak() / 1e9));
  benchmark::AddCustomContext("bf16_peak_gflops", std::to_string(karyon::bench::bf16_peak() / 1e9));
  benchmark::AddCustomContext("copy_peak_gbytes", std::to_string(karyon::bench::copy_peak() / 1e9));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
