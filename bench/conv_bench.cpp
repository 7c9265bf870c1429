// The convolutions of UNet base 32, depth 4, on a batch of 4 x 256 x 256: forward, backward-data,
// backward-weights.
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>

#include <karyon/core/ops/conv.h>
#include <karyon/core/random.h>

#include "machine_peak.h"

namespace karyon {
namespace {

enum class Pass { forward, backward_data, backward_weights };
constexpr const char* pass_names[] = {"forward", "backward_data", "backward_weights"};

struct Layer {
  std::int64_t size, in, out, kernel;
  bool transposed;
};

// Rates over the wall time of the whole loop.
void report(benchmark::State& state, double flops, std::chrono::duration<double> time) {
  const double rate = flops * static_cast<double>(state.iterations()) / time.count();
  state.counters["GFLOP/s"] = rate / 1e9;
  state.counters["of_peak"] = rate / bench::fma_peak();
}

void convolution(benchmark::State& state, const Layer& l, Pass pass) {
  Generator generator(1);
  const std::int64_t n = 4;
  // As the kernels see it, a transposed convolution is backward-data of a strided one.
  const std::int64_t large = l.transposed ? 2 * l.size : l.size, stride = l.transposed ? 2 : 1;
  const std::int64_t c = l.transposed ? l.out : l.in, k = l.transposed ? l.in : l.out;
  const ConvGeometry g{.n = n,
                       .h = large,
                       .w = large,
                       .c = c,
                       .h_out = l.size,
                       .w_out = l.size,
                       .k = k,
                       .kernel = l.kernel,
                       .stride = stride,
                       .padding = l.kernel == 3 ? 1 : 0};
  const Tensor w = randn({k, l.kernel, l.kernel, c}, generator);
  Tensor x = randn({n, g.h, g.w, c}, generator), y = randn({n, g.h_out, g.w_out, k}, generator),
         dw = empty_like(w);
  const bool data = l.transposed ? pass == Pass::forward : pass == Pass::backward_data;
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    if (pass == Pass::backward_weights) {
      kernels::conv2d_backward_weight(g, x, y, dw);
    } else if (data) {
      kernels::conv2d_backward_data(g, y, w, {}, x);
    } else {
      kernels::conv2d(g, x, w, {}, y);
    }
  }
  report(state, 2.0 * static_cast<double>(n * g.h_out * g.w_out * k * c * l.kernel * l.kernel),
         std::chrono::steady_clock::now() - start);
}

const int registered = [] {
  const Layer layers[] = {
      {256, 3, 32, 3, false},   {256, 32, 32, 3, false},  {256, 64, 32, 3, false},  {128, 32, 64, 3, false},
      {128, 64, 64, 3, false},  {128, 128, 64, 3, false}, {64, 64, 128, 3, false},  {64, 128, 128, 3, false},
      {64, 256, 128, 3, false}, {32, 128, 256, 3, false}, {32, 256, 256, 3, false}, {32, 512, 256, 3, false},
      {16, 256, 512, 3, false}, {16, 512, 512, 3, false}, {256, 32, 1, 1, false},   {16, 512, 256, 2, true},
      {32, 256, 128, 2, true},  {64, 128, 64, 2, true},   {128, 64, 32, 2, true}};
  for (const Layer& l : layers)
    for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weights}) {
      const std::string name = std::string(l.transposed ? "conv_transpose2d/" : "conv2d/") +
                               pass_names[static_cast<int>(pass)] + "/" + std::to_string(l.kernel) + "x" +
                               std::to_string(l.kernel) + "/" + std::to_string(l.size) + "/" +
                               std::to_string(l.in) + "-" + std::to_string(l.out);
      benchmark::RegisterBenchmark(name.c_str(), [l, pass](benchmark::State& s) { convolution(s, l, pass); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  return 0;
}();

}  // namespace
}  // namespace karyon
