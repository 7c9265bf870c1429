#include "instances/components.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace nuclei {
namespace {

/// Disjoint sets of pixels whose representative is their first pixel in scan order.
class PixelSets {
 public:
  explicit PixelSets(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }

  std::int32_t find(std::int32_t pixel) {
    while (parent(pixel) != pixel) pixel = parent(pixel) = parent(parent(pixel));
    return pixel;
  }

  void join(std::int32_t a, std::int32_t b) {
    a = find(a);
    b = find(b);
    parent(std::max(a, b)) = std::min(a, b);
  }

 private:
  std::int32_t& parent(std::int32_t pixel) { return parent_[static_cast<std::size_t>(pixel)]; }

  std::vector<std::int32_t> parent_;
};

}  // namespace

Components connect(const Mask& mask, bool diagonal) {
  const int width = mask.width, height = mask.height;
  const auto inside = [&](std::int32_t i) { return mask[static_cast<std::size_t>(i)] != 0; };
  PixelSets sets(mask.size());
  for (std::int32_t y = 0, i = 0; y < height; ++y) {
    for (std::int32_t x = 0; x < width; ++x, ++i) {
      if (!inside(i)) continue;
      if (x > 0 && inside(i - 1)) sets.join(i - 1, i);
      if (y == 0) continue;
      if (inside(i - width)) sets.join(i - width, i);
      if (diagonal && x > 0 && inside(i - width - 1)) sets.join(i - width - 1, i);
      if (diagonal && x + 1 < width && inside(i - width + 1)) sets.join(i - width + 1, i);
    }
  }
  Components result{LabelMap(width, height), PerLabel<int>(0)};
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) {
      // The representative comes first in scan order, so its number is known by now.
      const auto first = static_cast<std::size_t>(sets.find(static_cast<std::int32_t>(i)));
      if (first == i) result.area.push_back(0);
      result.map[i] = first == i ? result.area.highest() : result.map[first];
    }
    ++result.area[result.map[i]];
  }
  return result;
}

LabelMap label_components(const Mask& mask, int min_area) {
  Components parts = connect(mask, false);
  drop_small(parts.map, min_area);
  return std::move(parts.map);
}

}  // namespace nuclei
