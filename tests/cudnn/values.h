#pragma once
#include <cudnn.h>

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace cudnn_shim {

// A tensor's values in the order n, h, w, c, whatever its strides; sums are kept in double until they are
// stored.
struct Values {
  std::int64_t n = 0, c = 0, h = 0, w = 0;
  std::array<std::int64_t, 4> strides{};  // n, c, h, w
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  void* device = nullptr;  // where it lies; nullptr: virtual
  bool written = false;    // by the graph
  void* memory = nullptr;  // its copy on the host
  std::vector<double> data;

  std::size_t bytes() const {
    const std::int64_t last =
        (n - 1) * strides[0] + (c - 1) * strides[1] + (h - 1) * strides[2] + (w - 1) * strides[3];
    return static_cast<std::size_t>(last + 1) * (type == CUDNN_DATA_FLOAT ? 4 : 2);
  }
  template <class F>
  void each(F f) {
    std::size_t i = 0;
    for (std::int64_t a = 0; a < n; ++a)
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
          for (std::int64_t d = 0; d < c; ++d)
            f(data[i++], a * strides[0] + d * strides[1] + y * strides[2] + x * strides[3]);
  }
  float rounded(double value) const {
    const auto f = static_cast<float>(value);
    if (type == CUDNN_DATA_FLOAT || f != f) return f;
    const auto u = std::bit_cast<std::uint32_t>(f);
    return std::bit_cast<float>((u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u);
  }
  void load() {
    if (!memory) return;
    each([this](double& value, std::int64_t at) {
      if (type == CUDNN_DATA_FLOAT) {
        value = static_cast<const float*>(memory)[at];
      } else {
        value = std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(memory)[at]} << 16);
      }
    });
  }
  void store() {
    each([this](double& value, std::int64_t at) {
      const float f = rounded(value);
      value = f;
      if (!memory) return;
      if (type == CUDNN_DATA_FLOAT) {
        static_cast<float*>(memory)[at] = f;
      } else {
        static_cast<std::uint16_t*>(memory)[at] =
            static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16);
      }
    });
  }
};

}  // namespace cudnn_shim
