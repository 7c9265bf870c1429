#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

constexpr int size = 192;

/// Makes every input of an output add to it.
void sum_inputs(UNet& net) {
  for (const auto& [name, parameter] : net.named_parameters()) {
    Tensor p = parameter.detach();
    p.fill_(name.ends_with("weight") ? 1 : 0);
  }
}

Tensor with_pixel(const Tensor& image, int x, int y, float value) {
  Tensor changed = image.clone();
  changed.data<float>()[(y * size + x) * static_cast<int>(image.size(3))] += value;
  return changed;
}

/// Pixels between `at` and the block of outputs that holds `output`, along one side.
int distance(int at, int output, int block) {
  const int first = output / block * block, last = first + block - 1;
  return std::max({first - at, at - last, 0});
}

/// How far is (x, y) from the farthest block of outputs with one that differs by more than `least`?
int distance_of_change(const Tensor& a, const Tensor& b, int x, int y, int block, float least) {
  const std::vector<float> before = a.to_vector<float>(), after = b.to_vector<float>();
  const auto channels = static_cast<std::size_t>(a.size(3));
  int farthest = 0;
  for (int v = 0; v < size; ++v)
    for (int u = 0; u < size; ++u)
      for (std::size_t c = 0; c < channels; ++c) {
        const std::size_t i = static_cast<std::size_t>(v * size + u) * channels + c;
        if (std::abs(after[i] - before[i]) > least)
          farthest = std::max({farthest, distance(x, u, block), distance(y, v, block)});
      }
  return farthest;
}

}  // namespace

TEST_CASE("unet_window: a pixel changes outputs up to the reach, and none beyond", "[unet_window]") {
  const NoGradGuard no_grad;
  for (const UpMode up : {UpMode::transposed, UpMode::bilinear})
    for (const std::int64_t depth : {1, 2, 3}) {
      const UNetOptions options{
          .in_channels = 1, .out_channels = 1, .base_width = 1, .depth = depth, .norm = Norm::none, .up = up};
      UNet net(options);
      sum_inputs(net);
      const Tensor zeros = karyon::zeros({1, size, size, 1}), before = net(zeros);
      int farthest = 0;
      for (int shift = 0; shift < 1 << depth; ++shift) {
        const int x = size / 2 + shift, y = size / 2;
        const Tensor after = net(with_pixel(zeros, x, y, 1));
        farthest = std::max(farthest, distance_of_change(before, after, x, y, 1 << depth, 0.5f));
      }
      INFO("depth " << depth << (up == UpMode::bilinear ? ", bilinear" : ""));
      const int reach = unet_window(options).reach;
      CHECK(farthest <= reach);
      // Bilinear steps are counted one pixel further than some blocks need.
      CHECK(farthest >= (up == UpMode::transposed ? reach : reach - (1 << depth)));
    }
}

TEST_CASE("unet_window: outputs beyond the exact reach keep every bit", "[unet_window]") {
  const NoGradGuard no_grad;
  for (const UpMode up : {UpMode::transposed, UpMode::bilinear}) {
    const UNetOptions options{.base_width = 16, .depth = 2, .norm = Norm::none, .up = up};
    manual_seed(1);
    UNet net(options);
    net.eval();
    const UNetWindow window = unet_window(options);
    CHECK(window.reach <= window.exact_reach);
    const Tensor image = rand({1, size, size, 3}), before = net(image);
    for (const int shift : {0, 1, 6, 15}) {
      const int x = size / 2 + shift, y = size / 2 - shift;
      CHECK(distance_of_change(before, net(with_pixel(image, x, y, 100)), x, y, window.alignment, 0) <=
            window.exact_reach);
    }
  }
}

TEST_CASE("unet_window: alignment and memory follow the options", "[unet_window]") {
  const UNetOptions options{.in_channels = 3, .out_channels = 2, .base_width = 8, .depth = 3};
  CHECK(unet_window(options).alignment == 32);
  CHECK(unet_window(options).bytes_per_pixel == 4 * (6 * 8 + 2 * 3 + 3 * 2));
  CHECK(unet_window(options, bf16).bytes_per_pixel == 2 * 6 * 8 + 4 * (2 * 3 + 3 * 2));
  CHECK_THROWS_WITH(unet_window({.depth = 11}), Catch::Contains("depth of 1 to 10"));
  CHECK_THROWS_WITH(unet_window(options, f64), Catch::Contains("f32 or bf16"));
}
