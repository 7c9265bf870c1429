// One training step of UNet(3 -> 1, base 32, depth 4) on 4 x 256 x 256, for bench/compare. Arguments: the
// number of steps, --precision f32 or bf16. It prints a line of JSON with the median seconds of a step and
// the most memory that the process held.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <karyon/karyon.h>

int main(int argc, char** argv) {
  using namespace karyon;
  int steps = 10;
  DType precision = f32;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--precision") == 0 && i + 1 < argc) {
      precision = std::strcmp(argv[++i], "bf16") == 0 ? bf16 : f32;
    } else {
      steps = std::atoi(argv[i]);
    }
  }
  UNet model({.in_channels = 3, .out_channels = 1, .base_width = 32, .depth = 4});
  Adam optimizer(model.parameters(), {.lr = 1e-3});
  Generator generator(1);
  const Tensor x = rand({4, 256, 256, 3}, generator);
  const Tensor target = gt(rand({4, 256, 256, 1}, generator), 0.5).to(f32);
  std::vector<double> seconds;
  double loss_value = 0;
  for (int i = 0; i < steps + 2; ++i) {
    const auto start = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const AutocastGuard autocast(precision);
    const Tensor loss = bce_with_logits(model(x), target);
    loss.backward();
    optimizer.step();
    loss_value = loss.item();
    if (i >= 2)
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"seconds\": %.4f, \"peak_mib\": %.0f, \"tensor_peak_mib\": %.0f, \"loss\": %.6f, \"threads\": %d}\n",
      seconds[seconds.size() / 2], static_cast<double>(usage.ru_maxrss) / 1024,
      static_cast<double>(memory_stats().peak) / (1 << 20), loss_value, num_threads());
  return 0;
}
