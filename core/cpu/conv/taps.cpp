#include <karyon/core/cpu/conv/taps.h>

namespace karyon::cpu {

std::vector<AxisTap> forward_taps(std::int64_t kernel, std::int64_t padding, std::int64_t dilation) {
  std::vector<AxisTap> taps;
  for (std::int64_t i = 0; i < kernel; ++i) taps.push_back({i * dilation - padding, i});
  return taps;
}

std::vector<AxisTap> phase_taps(std::int64_t phase, std::int64_t kernel, std::int64_t stride,
                                std::int64_t padding, std::int64_t dilation) {
  std::vector<AxisTap> taps;
  for (std::int64_t i = kernel - 1; i >= 0; --i) {
    const std::int64_t scaled = phase + padding - i * dilation;
    if (scaled % stride == 0) taps.push_back({scaled / stride, i});
  }
  return taps;
}

}  // namespace karyon::cpu
