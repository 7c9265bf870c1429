#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "register.h"

// The convolutions of UNet base 32 and base 64, depth 4, on a batch of 4 x 256 x 256. The benchmarks of our
// kernels and of oneDNN's both run them.
namespace karyon::bench {

enum class Pass { forward, backward_data, backward_weights };
constexpr Pass passes[] = {Pass::forward, Pass::backward_data, Pass::backward_weights};
constexpr const char* pass_names[] = {"forward", "backward_data", "backward_weights"};
constexpr std::int64_t layer_batch = 4;

struct Layer {
  std::int64_t size, in, out, kernel = 3;
  bool transposed = false;

  double flops() const {
    return 2.0 * static_cast<double>(layer_batch * size * size * in * out * kernel * kernel);
  }
  /// PEER/conv2d/forward/3x3/256/32-32
  std::string name(const char* peer, Pass pass) const {
    return std::string(peer) + (transposed ? "/conv_transpose2d/" : "/conv2d/") +
           pass_names[static_cast<int>(pass)] + "/" + std::to_string(kernel) + "x" + std::to_string(kernel) +
           "/" + std::to_string(size) + "/" + std::to_string(in) + "-" + std::to_string(out);
  }
};

/// The 3x3 layers of both networks, once each.
inline std::vector<Layer> layers_3x3() {
  return {{256, 32, 32},  {256, 64, 32},  {128, 32, 64},   {128, 64, 64},   {128, 128, 64},  {64, 64, 128},
          {64, 128, 128}, {64, 256, 128}, {32, 128, 256},  {32, 256, 256},  {32, 512, 256},  {16, 256, 512},
          {16, 512, 512}, {256, 64, 64},  {256, 128, 64},  {128, 128, 128}, {128, 256, 128}, {64, 256, 256},
          {64, 512, 256}, {32, 512, 512}, {32, 1024, 512}, {16, 512, 1024}, {16, 1024, 1024}};
}

}  // namespace karyon::bench
