#include "dataset/background.h"

#include <algorithm>
#include <bit>

#include "common/quantile.h"

namespace nuclei {
namespace {

/// What counts of a label.
struct Region {
  std::int64_t area = 0;
  std::int64_t background = 0;  // pixels as dark (light) as a tenth of the image
  unsigned edges = 0;           // of the image that it touches, a bit each
};

std::vector<float> brightness_of(const Image& image, bool inverted) {
  std::vector<float> values(image.pixels());
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t c = 0; c < image.depth(); ++c) values[i] += image.pixel(i)[c];
    if (inverted) values[i] = -values[i];
  }
  return values;
}

}  // namespace

std::vector<std::int32_t> background_labels(const Image& image, const LabelMap& labels, Modality kind) {
  const std::int32_t count = max_label(labels);
  if (count == 0) return {};
  const bool dark = kind == Modality::fluorescence;
  const std::vector<float> brightness = brightness_of(image, !dark);
  std::vector<float> sorted = brightness;
  const float limit = quantile(sorted, 0.1);
  std::vector<Region> regions(static_cast<std::size_t>(count) + 1);
  Region all;
  for (int y = 0; y < labels.height; ++y) {
    for (int x = 0; x < labels.width; ++x) {
      Region& region = regions[static_cast<std::size_t>(labels.at(x, y))];
      const bool background = brightness[labels.index(x, y)] <= limit;
      ++region.area, ++all.area;
      region.background += background, all.background += background;
      region.edges |= unsigned(x == 0) | unsigned(y == 0) << 1 | unsigned(x + 1 == labels.width) << 2 |
                      unsigned(y + 1 == labels.height) << 3;
    }
  }
  std::vector<std::int32_t> found;
  std::int64_t covered = 0;
  for (std::int32_t label = 1; label <= count; ++label) {
    const Region& region = regions[static_cast<std::size_t>(label)];
    if (10 * region.area < all.area || std::popcount(region.edges) < (dark ? 2 : 3) ||
        5 * region.background < all.background)
      continue;
    found.push_back(label);
    covered += region.background;
  }
  if (10 * covered >= 6 * all.background && !found.empty()) return found;
  const auto largest = std::max_element(regions.begin() + 1, regions.end(),
                                        [](const Region& a, const Region& b) { return a.area < b.area; });
  if (count >= 2 && 1000 * regions[0].area <= all.area)
    return {static_cast<std::int32_t>(largest - regions.begin())};
  return {};
}

}  // namespace nuclei
