// Inference with UNet(3 -> 1, base 32, depth 4), for bench/compare.
//
//   unet_inference SECONDS BATCHxSIZE... [--precision bf16]   a line of JSON for each, with the median
//                                                             seconds of a forward pass
//   unet_inference save FILE               writes a model
//   unet_inference first FILE              loads it and predicts one 256 x 256 image, once
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <karyon/karyon.h>

int main(int argc, char** argv) {
  using namespace karyon;
  using Clock = std::chrono::steady_clock;
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode == "save") {
    save_unet(UNet({.base_width = 32, .depth = 4}), argv[2]);
    return 0;
  }
  if (mode == "first") {
    const auto loaded = load_unet(argv[2]);
    loaded->eval();
    const NoGradGuard no_grad;
    std::printf("%g\n", sum((*loaded)(zeros({1, 256, 256, 3}))).item());
    return 0;
  }
  DType precision = f32;
  if (argc > 2 && std::string_view(argv[argc - 2]) == "--precision") {
    precision = std::string_view(argv[argc - 1]) == "bf16" ? bf16 : f32;
    argc -= 2;
  }
  const double budget = argc > 1 ? std::atof(argv[1]) : 2;  // seconds of measuring for each
  UNet model({.in_channels = 3, .out_channels = 1, .base_width = 32, .depth = 4});
  model.eval();
  const NoGradGuard no_grad;
  const AutocastGuard autocast(precision);
  for (int i = 2; i < argc; ++i) {
    long batch = 1, size = 256;
    if (std::sscanf(argv[i], "%ldx%ld", &batch, &size) != 2 || batch < 1 || size < 1) {
      std::fprintf(stderr, "unet_inference: expects SECONDS BATCHxSIZE..., got '%s'\n", argv[i]);
      return 2;
    }
    Generator generator(1);
    const Tensor x = rand({batch, size, size, 3}, generator);
    std::vector<double> seconds;
    const auto begin = Clock::now();
    while (seconds.size() < 4 || std::chrono::duration<double>(Clock::now() - begin).count() < budget) {
      const auto start = Clock::now();
      model(x);
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::sort(seconds.begin() + 2, seconds.end());  // the first two warm up
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("{\"case\": \"%ldx%ld\", \"seconds\": %.5f, \"peak_mib\": %.0f}\n", batch, size,
                seconds[2 + (seconds.size() - 2) / 2], static_cast<double>(usage.ru_maxrss) / 1024);
    std::fflush(stdout);
  }
  return 0;
}
