#pragma once
#include <string>
#include <vector>

#include <karyon/core/kernels/conv.h>
#include <karyon/cuda/conv/conv_plan.h>

// Every convolution of UNet(3 -> 1, depth 4) on a batch of 4 x 256 x 256, as the plans of cuDNN are tested
// for.
namespace karyon::test {

struct NamedConv {
  std::string name;
  ConvGeometry geometry;
  bool transposed = false;  ///< forward is the data gradient of `geometry`, and the other way round
};

inline std::vector<NamedConv> unet_convs(std::int64_t base) {
  constexpr std::int64_t batch = 4, image = 256, depth = 4;
  std::vector<NamedConv> convs;
  const auto add = [&](const std::string& name, std::int64_t size, std::int64_t in, std::int64_t out,
                       std::int64_t kernel) {
    convs.push_back({.name = name,
                     .geometry = {.n = batch,
                                  .h = size,
                                  .w = size,
                                  .c = in,
                                  .h_out = size,
                                  .w_out = size,
                                  .k = out,
                                  .kernel = kernel,
                                  .padding = kernel / 2}});
  };
  for (std::int64_t i = 0; i <= depth; ++i) {
    const std::int64_t width = base << i, size = image >> i;
    const std::string block = i == depth ? "bottom" : "down." + std::to_string(i);
    add(block + ".conv1", size, i == 0 ? 3 : width / 2, width, 3);
    add(block + ".conv2", size, width, width, 3);
  }
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::int64_t width = base << (depth - i), size = image >> (depth - i);
    const std::string block = "up." + std::to_string(i);
    // The convolution that it transposes reads the large image.
    convs.push_back({.name = block + ".up",
                     .geometry = {.n = batch,
                                  .h = 2 * size,
                                  .w = 2 * size,
                                  .c = width / 2,
                                  .h_out = size,
                                  .w_out = size,
                                  .k = width,
                                  .kernel = 2,
                                  .stride = 2},
                     .transposed = true});
    add(block + ".conv1", 2 * size, width, width / 2, 3);
    add(block + ".conv2", 2 * size, width / 2, width / 2, 3);
  }
  add("head", image, base, 1, 1);
  return convs;
}

/// What a network asks of one of its convolutions.
struct NamedDirection {
  std::string name;
  cuda::ConvProblem problem;
};

inline std::vector<NamedDirection> directions(const NamedConv& conv, DType dtype) {
  using cuda::ConvDirection;
  const cuda::ConvProblem forward{.geometry = conv.geometry, .dtype = dtype};
  cuda::ConvProblem data = forward, weight = forward, fused = forward;
  data.direction = ConvDirection::backward_data;
  weight.direction = ConvDirection::backward_weight;
  fused.shift = fused.relu = true;
  // Nothing is fused to a transposed convolution: its bias is added afterwards.
  if (conv.transposed) return {{"forward", data}, {"backward data", forward}, {"backward weight", weight}};
  return {{"forward", forward}, {"fused", fused}, {"backward data", data}, {"backward weight", weight}};
}

/// The text of tests/cuda/devices/NAME.json. Throws Error if there is none.
std::string device_json(const std::string& name);

/// The devices that plans are made for, and what they compute with.
struct NamedDevice {
  std::string name;
  std::vector<DType> dtypes;
};
inline std::vector<NamedDevice> planned_devices() {
  return {{"h100", {f32, bf16}}, {"a100", {f32, bf16}}, {"t4", {f32}}};  // a T4 has no bf16
}

}  // namespace karyon::test
