#include "instances/watershed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "common/error.h"
#include "instances/components.h"

namespace nuclei {
namespace {

/// Binomial smoothing along rows, then along columns. Pixels at the image's edge count as their own
/// neighbours outside.
Raster<float> smoothed(Raster<float> map) {
  std::vector<float>& values = map.values;
  std::vector<float> out(values.size());
  const auto pass = [&](std::size_t lines, std::size_t line_step, std::size_t count, std::size_t step) {
    for (std::size_t line = 0; line < lines; ++line) {
      const float* in = values.data() + line * line_step;
      float* to = out.data() + line * line_step;
      for (std::size_t i = 0; i < count; ++i) {
        const float before = in[(i > 0 ? i - 1 : i) * step], after = in[(i + 1 < count ? i + 1 : i) * step];
        to[i * step] = 0.5f * in[i * step] + 0.25f * (before + after);
      }
    }
    values.swap(out);
  };
  const std::size_t width = map.row_size(), height = values.size() / width;
  pass(height, width, width, 1);
  pass(width, 1, height, width);
  return map;
}

/// A watershed that adds pixels from the highest level down. Two regions that meet become one if the lower
/// peak is less than `prominence` levels above the pixel where they meet, or if its region is a few pixels of
/// noise. Otherwise the pixel goes to the region that it met first, and the border stays.
class Watershed {
 public:
  Watershed(const Raster<std::uint8_t>& level, const Mask& mask, int prominence)
      : level_(level), mask_(mask), width_(mask.row_size()), prominence_(prominence) {}

  /// A region per pixel, numbered from 1 in no order; 0 outside the mask.
  LabelMap run() {
    std::array<std::vector<std::size_t>, 256> pixels;
    for (std::size_t i = 0; i < mask_.size(); ++i)
      if (mask_[i]) pixels[level_[i]].push_back(i);
    region_ = LabelMap(mask_.width, mask_.height);
    std::vector<std::size_t> queue;
    for (int now = 255; now >= 0; --now) {
      const auto& here = pixels[static_cast<std::size_t>(now)];
      // Pixels beside a region join it, the nearest first. The others begin new regions.
      for (const std::size_t i : here)
        if (beside_region(i)) queue.push_back(i);
      pour(queue, now);
      for (const std::size_t i : here) {
        if (region_[i] != 0) continue;
        peak_.push_back(now);
        area_.push_back(0);
        region_[i] = peak_.highest();
        parent_.push_back(region_[i]);
        queue.assign(1, i);
        pour(queue, now);
      }
    }
    for (std::int32_t& region : region_) region = find(region);
    return std::move(region_);
  }

 private:
  static constexpr std::int64_t noise = 9;  // pixels

  template <class Visit>
  void for_each_neighbour(std::size_t i, const Visit& visit) const {
    const std::size_t x = i % width_;
    if (x > 0) visit(i - 1);
    if (x + 1 < width_) visit(i + 1);
    if (i >= width_) visit(i - width_);
    if (i + width_ < mask_.size()) visit(i + width_);
  }
  bool beside_region(std::size_t i) const {
    bool beside = false;
    for_each_neighbour(i, [&](std::size_t n) { beside |= region_[n] != 0; });
    return beside;
  }
  void pour(std::vector<std::size_t>& queue, int now) {
    for (std::size_t k = 0; k < queue.size(); ++k) {
      const std::size_t i = queue[k];
      if (region_[i] == 0)
        region_[i] = join_neighbours(i, now);
      else if (k > 0)
        continue;  // it was reached from two sides
      ++area_[find(region_[i])];
      for_each_neighbour(i, [&](std::size_t n) {
        if (region_[n] == 0 && mask_[n] && level_[n] == now) queue.push_back(n);
      });
    }
    queue.clear();
  }
  std::int32_t join_neighbours(std::size_t i, int now) {
    std::int32_t mine = 0;
    for_each_neighbour(i, [&](std::size_t n) {
      if (region_[n] == 0) return;
      const std::int32_t other = find(region_[n]);
      if (mine == 0) mine = other;
      if (other == mine) return;
      const auto strength = [&](std::int32_t r) { return std::pair(peak_[r], area_[r]); };
      const auto [weak, strong] =
          strength(mine) < strength(other) ? std::pair(mine, other) : std::pair(other, mine);
      if (peak_[weak] - now >= prominence_ && area_[weak] >= noise) return;
      parent_[weak] = strong;
      area_[strong] += area_[weak];
      mine = strong;
    });
    return mine;
  }
  std::int32_t find(std::int32_t r) {
    while (parent_[r] != r) r = parent_[r] = parent_[parent_[r]];
    return r;
  }

  const Raster<std::uint8_t>& level_;
  const Mask& mask_;
  std::size_t width_;
  int prominence_;
  LabelMap region_;                   // of each pixel; 0: none yet
  PerLabel<std::int32_t> parent_{0};  // of each region: the one that it was joined to, or itself
  PerLabel<int> peak_{0};             // its highest level
  PerLabel<std::int64_t> area_{0};    // its pixels
};

/// Gives background that one nucleus surrounds to that nucleus.
void fill_holes(LabelMap& map) {
  Mask outside(map.width, map.height);
  std::ranges::transform(map, outside.begin(), [](std::int32_t label) { return label == 0; });
  const Components background = connect(outside, true);
  constexpr std::int32_t open = -1;  // at the edge, or between several nuclei
  PerLabel<std::int32_t> owner(background.area.highest());
  const auto meet = [&](std::int32_t component, std::int32_t label) {
    std::int32_t& known = owner[component];
    if (known != open) known = known == 0 || known == label ? label : open;
  };
  std::size_t i = 0;
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x, ++i) {
      const bool right = x + 1 < map.width, below = y + 1 < map.height;
      if (outside[i] && (x == 0 || y == 0 || !right || !below)) meet(background.map[i], open);
      const auto pair = [&](std::size_t other) {
        if (outside[i] != outside[other])
          meet(background.map[outside[i] ? i : other], map[outside[i] ? other : i]);
      };
      if (right) pair(i + 1);
      if (below) pair(i + map.row_size());
    }
  }
  for (i = 0; i < map.size(); ++i) {
    const std::int32_t label = owner[background.map[i]];
    if (outside[i] && label > 0) map[i] = label;
  }
}

}  // namespace

LabelMap segment(const PixelMaps& maps, const SegmentOptions& options) {
  if (maps.channels != map_count || maps.empty())
    throw Failure("separating nuclei: expected " + std::to_string(map_count) + " values per pixel, got " +
                  std::to_string(maps.channels));
  Mask mask(maps.width, maps.height);
  Raster<std::uint8_t> level(maps.width, maps.height);
  Raster<float> height(maps.width, maps.height);
  for (std::size_t i = 0; i < height.size(); ++i) {
    const float* p = maps.pixel(i);
    mask[i] = p[nucleus_map] > options.nucleus;
    height[i] = 0.5f * (p[depth_map] + p[nucleus_map] * (1 - p[border_map]));
  }
  for (int times = 0; times < 2; ++times) height = smoothed(std::move(height));
  for (std::size_t i = 0; i < height.size(); ++i)
    level[i] = static_cast<std::uint8_t>(std::lround(std::clamp(height[i], 0.0f, 1.0f) * 255));
  Watershed watershed(level, mask, static_cast<int>(std::lround(options.prominence * 255)));
  LabelMap result = watershed.run();
  fill_holes(result);
  drop_small(result, options.min_area);
  return result;
}

}  // namespace nuclei
