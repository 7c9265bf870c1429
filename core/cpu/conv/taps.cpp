#include <karyon/core/cpu/conv/taps.h>

#include <algorithm>

#include <karyon/core/cpu/simd/round.h>

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

namespace {

// The outputs [begin, end) of 0, ..., n - 1 in which a tap reads inside the input.
struct Inside {
  std::int64_t begin, end;
  Inside(const AxisTap& tap, std::int64_t step, std::int64_t in, std::int64_t n)
      : begin(tap.offset >= 0 ? 0 : std::min(ceil_div(-tap.offset, step), n)),
        end(tap.offset >= in ? 0 : std::min(ceil_div(in - tap.offset, step), n)) {}
};

}  // namespace

std::vector<AxisTap> reached(std::vector<AxisTap> taps, std::int64_t step, std::int64_t in, std::int64_t n) {
  std::erase_if(taps, [&](const AxisTap& tap) {
    const Inside inside(tap, step, in, n);
    return inside.begin >= inside.end;
  });
  return taps;
}

std::vector<Stretch> stretches(const std::vector<AxisTap>& taps, std::int64_t step, std::int64_t in,
                               std::int64_t n) {
  std::vector<std::int64_t> cuts{0, n};
  for (const AxisTap& tap : taps) {
    const Inside inside(tap, step, in, n);
    cuts.insert(cuts.end(), {inside.begin, inside.end});
  }
  std::ranges::sort(cuts);
  cuts.erase(std::ranges::unique(cuts).begin(), cuts.end());
  std::vector<Stretch> result;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    result.push_back({cuts[i], cuts[i + 1], {}});
    for (const AxisTap& tap : taps) {
      const Inside inside(tap, step, in, n);
      if (inside.begin <= cuts[i] && cuts[i + 1] <= inside.end) result.back().taps.push_back(tap);
    }
  }
  return result;
}

double share_inside(const std::vector<AxisTap>& taps, std::int64_t step, std::int64_t in, std::int64_t n) {
  double inside = 0;
  for (const Stretch& s : stretches(taps, step, in, n))
    inside += static_cast<double>(s.end - s.begin) * static_cast<double>(s.taps.size());
  return inside / (static_cast<double>(n) * static_cast<double>(taps.size()));
}

}  // namespace karyon::cpu
