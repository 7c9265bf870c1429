#include "evaluation/baseline.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "common/error.h"
#include "instances/components.h"

namespace nuclei {
namespace {

Raster<float> brightness(const Image& image) {
  if (image.empty()) throw Failure("thresholding an image: expected at least one pixel, it is empty");
  Raster<float> grey(image.width, image.height);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const float* pixel = image.pixel(i);
    grey[i] = static_cast<float>(std::accumulate(pixel, pixel + image.channels, 0.0) / image.channels);
  }
  return grey;
}

float threshold_of(const Raster<float>& grey) {
  constexpr std::size_t bin_count = 256;
  const auto [low, high] = std::ranges::minmax(grey);
  if (low == high) return low;
  const double width = (static_cast<double>(high) - low) / bin_count;
  std::array<double, bin_count> count{};
  for (const float value : grey)
    ++count[std::min(bin_count - 1, static_cast<std::size_t>((static_cast<double>(value) - low) / width))];
  double total = 0, total_sum = 0;
  for (std::size_t b = 0; b < bin_count; ++b) {
    total += count[b];
    total_sum += count[b] * static_cast<double>(b);
  }
  // The threshold with the largest variance between its sides is the best.
  double below = 0, below_sum = 0, best = -1;
  std::size_t cut = 0;
  for (std::size_t b = 0; b + 1 < bin_count; ++b) {
    below += count[b];
    below_sum += count[b] * static_cast<double>(b);
    if (below == 0 || below == total) continue;
    const double distance = below_sum / below - (total_sum - below_sum) / (total - below);
    const double between = below * (total - below) * distance * distance;
    if (between > best) best = between, cut = b;
  }
  return static_cast<float>(low + (static_cast<double>(cut) + 0.5) * width);
}

}  // namespace

LabelMap all_background(const Image& image) { return {image.width, image.height}; }

float otsu_threshold(const Image& image) { return threshold_of(brightness(image)); }

LabelMap otsu(const Image& image) {
  const Raster<float> grey = brightness(image);
  const float threshold = threshold_of(grey);
  const auto above =
      static_cast<std::size_t>(std::ranges::count_if(grey, [&](float value) { return value > threshold; }));
  const bool dark_nuclei = 2 * above > grey.size();
  Mask nuclei(image.width, image.height);
  std::ranges::transform(grey, nuclei.begin(),
                         [&](float value) { return (value > threshold) != dark_nuclei; });
  return label_components(nuclei, 16);
}

}  // namespace nuclei
