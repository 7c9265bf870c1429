// Times every different convolution of a list such as zoo.txt, forward and with both gradients, for
// bench/compare: a line of JSON for each.
//   zoo_conv FILE [BATCH] [f32|bf16] [NETWORK]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <karyon/core/kernels/conv.h>
#include <karyon/karyon.h>

namespace {

using namespace karyon;

// Seconds of one call: the median of several samples, which each last some milliseconds.
double seconds_of(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  const auto time = [&](int calls) {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) run();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  run();
  const int calls = std::max(1, static_cast<int>(3e-3 / std::max(1e-7, time(1))));
  std::vector<double> samples;
  for (int i = 0; i < 7; ++i) samples.push_back(time(calls) / calls);
  std::ranges::sort(samples);
  return samples[samples.size() / 2];
}

ConvGeometry geometry(const std::vector<std::int64_t>& v, std::int64_t batch) {
  const Pair kernel{v[4], v[5]}, stride{v[6], v[7]}, padding{v[8], v[9]}, dilation{v[10], v[11]};
  const Pair out =
      window_positions("zoo_conv", {v[0], v[1]},
                       {.kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation});
  return {.n = batch,
          .h = v[0],
          .w = v[1],
          .c = v[2],
          .h_out = out.h,
          .w_out = out.w,
          .k = v[3],
          .kernel = kernel,
          .stride = stride,
          .padding = padding,
          .dilation = dilation,
          .groups = v[12]};
}

void time_shape(const std::string& shape, const ConvGeometry& g, DType dtype) {
  Generator generator(1);
  const Tensor x = rand({g.n, g.h, g.w, g.c}, generator).to(dtype),
               w = rand({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}, generator).to(dtype),
               dy = rand({g.n, g.h_out, g.w_out, g.k}, generator).to(dtype);
  Tensor y = empty_like(dy), dx = empty_like(x), dw = empty_like(w);
  const double forward = seconds_of([&] { kernels::conv2d(g, {}, x, w, {}, y); });
  const double kept = seconds_of([&] { kernels::conv2d(g, {.keep_filters = true}, x, w, {}, y); });
  const double data = seconds_of([&] { kernels::conv2d_backward_data(g, {}, dy, w, {}, dx); });
  const double weight = seconds_of([&] { kernels::conv2d_backward_weight(g, x, dy, dw); });
  std::printf(
      "{\"shape\": \"%s\", \"forward\": %.4g, \"inference\": %.4g, \"data\": %.4g, \"weight\": %.4g}\n",
      shape.c_str(), forward, kept, data, weight);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream list(argc > 1 ? argv[1] : "");
  if (!list) return std::fprintf(stderr, "usage: zoo_conv FILE [BATCH] [f32|bf16] [NETWORK]\n"), 2;
  const std::int64_t batch = argc > 2 ? std::atoll(argv[2]) : 1;
  const DType dtype = argc > 3 && std::string(argv[3]) == "bf16" ? bf16 : f32;
  const std::string only = argc > 4 ? argv[4] : "";
  std::set<std::string> done;
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::string network;
    words >> network;
    if (network.empty() || network[0] == '#' || (!only.empty() && network != only)) continue;
    const std::vector<std::int64_t> v{std::istream_iterator<std::int64_t>(words), {}};
    std::string shape;
    for (std::size_t i = 0; i + 1 < v.size(); ++i) shape += (i ? " " : "") + std::to_string(v[i]);
    if (done.insert(shape).second) time_shape(shape, geometry(v, batch), dtype);
  }
}
