#include "instances/segment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>

#include "common/error.h"

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

struct Components {
  LabelMap map;        // 0 outside, else 1..k in scan order
  PerLabel<int> area;  // [0] counts the pixels outside
};

/// Connected components of the pixels where mask == value.
Components connect(const Mask& mask, bool value, bool diagonal) {
  const int width = mask.width, height = mask.height;
  const auto inside = [&](std::int32_t i) { return mask[static_cast<std::size_t>(i)] == value; };
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
    if (mask[i] == value) {
      // The representative comes first in scan order, so its number is known by now.
      const auto first = static_cast<std::size_t>(sets.find(static_cast<std::int32_t>(i)));
      if (first == i) result.area.push_back(0);
      result.map[i] = first == i ? result.area.highest() : result.map[first];
    }
    ++result.area[result.map[i]];
  }
  return result;
}

void fill_holes(Mask& mask, int max_area) {
  const auto [map, area] = connect(mask, false, true);
  PerLabel<char> hole(area.highest());
  for (std::int32_t c = 1; c <= area.highest(); ++c) hole[c] = area[c] <= max_area;
  for (int x = 0; x < map.width; ++x) hole[map.at(x, 0)] = hole[map.at(x, map.height - 1)] = false;
  for (int y = 0; y < map.height; ++y) hole[map.at(0, y)] = hole[map.at(map.width - 1, y)] = false;
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (hole[map[i]]) mask[i] = 1;
}

/// The two nearest distinct nuclei seen so far from one pixel; distance in pixels.
struct NearestTwo {
  struct Seen {
    std::int32_t label = 0;
    float distance = std::numeric_limits<float>::infinity();
  };
  Seen first, second;

  void add(Seen seen) {
    if (seen.label == 0 || seen.distance >= second.distance) return;
    if (seen.label == first.label) {
      first.distance = std::min(first.distance, seen.distance);
    } else if (seen.distance < first.distance) {
      second = first;
      first = seen;
    } else {
      second = seen;
    }
  }
};

/// For each pixel the two nearest distinct nuclei within its own column.
Raster<NearestTwo> scan_columns(const LabelMap& map) {
  Raster<NearestTwo> nearest(map.width, map.height);
  std::vector<NearestTwo> column;  // as seen from the current row
  const auto visit_row = [&](int y) {
    const std::int32_t* labels = map.row(y);
    NearestTwo* out = nearest.row(y);
    for (NearestTwo& seen : column) {
      seen.first.distance += 1;
      seen.second.distance += 1;
      const std::int32_t label = *labels++;
      if (label != 0) {
        if (label != seen.first.label) seen.second = seen.first;
        seen.first = {label, 0};
      }
      out->add(seen.first);
      out++->add(seen.second);
    }
  };
  column.assign(map.row_size(), {});
  for (int y = 0; y < map.height; ++y) visit_row(y);
  column.assign(map.row_size(), {});
  for (int y = map.height; y-- > 0;) visit_row(y);
  return nearest;
}

// The second nearest nucleus of a pixel is among the nearest two of the column where it comes
// closest: any nearer one in that column would be nearer to the pixel as well. So two passes over
// the columns and then a walk along the row, outwards until no column can add anything, are exact.

/// Calls visit(pixel, d1 + d2) for pixels whose distances to the nearest two distinct nuclei add up to at
/// most `reach`; a pixel of a nucleus has d1 = 0.
template <class Visit>
void for_each_gap(const LabelMap& map, float reach, const Visit& visit) {
  const Raster<NearestTwo> columns = scan_columns(map);
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x) {
      NearestTwo nearest;
      const auto look = [&](int column, float dx) {
        if (column < 0 || column >= map.width) return;
        const NearestTwo& seen = columns.at(column, y);
        for (const NearestTwo::Seen& s : {seen.first, seen.second}) {
          if (s.distance < reach) {
            nearest.add({s.label, std::sqrt(s.distance * s.distance + dx * dx)});
          }
        }
      };
      // Whatever lies dx columns away adds at least min(d1, dx) + dx.
      for (int step = 0;; ++step) {
        const auto dx = static_cast<float>(step);
        if (dx >= nearest.second.distance || std::min(nearest.first.distance, dx) + dx > reach) break;
        look(x - step, dx);
        if (step > 0) look(x + step, dx);
      }
      const float sum = nearest.first.distance + nearest.second.distance;
      if (sum <= reach) visit(map.index(x, y), sum);
    }
  }
}

/// Binomial smoothing along rows, then along columns; the image goes on beyond its edge as at it.
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

/// A watershed that pours pixels in from the highest level down. Where two regions meet they become one if
/// the lower peak is less than `prominence` levels above the meeting point, or its region is a few pixels of
/// noise; otherwise the pixel goes to the region it met first and the border stands.
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
      // What borders a region joins one, nearest first; the rest are new peaks.
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
        continue;  // came here from two sides
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
  Mask mask(map.width, map.height);
  std::ranges::transform(map, mask.begin(), [](std::int32_t label) { return label != 0; });
  const Components background = connect(mask, false, true);
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
      if (mask[i] == 0 && (x == 0 || y == 0 || !right || !below)) meet(background.map[i], open);
      const auto pair = [&](std::size_t other) {
        if (mask[i] != mask[other]) meet(background.map[mask[i] ? other : i], map[mask[i] ? i : other]);
      };
      if (right) pair(i + 1);
      if (below) pair(i + map.row_size());
    }
  }
  for (i = 0; i < mask.size(); ++i) {
    const std::int32_t label = owner[background.map[i]];
    if (mask[i] == 0 && label > 0) map[i] = label;
  }
}

/// Drops nuclei below min_area pixels and numbers the rest 1, 2, ... in scan order.
void drop_small(LabelMap& map, int min_area) {
  const PerLabel<std::int64_t> area = label_areas(map);
  PerLabel<std::int32_t> renumbered(area.highest());
  std::int32_t next = 0;
  for (std::int32_t& label : map) {
    if (label == 0) continue;
    std::int32_t& number = renumbered[label];
    if (number == 0 && area[label] >= min_area) number = ++next;
    label = number;
  }
}

}  // namespace

std::int32_t max_label(const LabelMap& map) { return map.empty() ? 0 : std::ranges::max(map); }

PerLabel<std::int64_t> label_areas(const LabelMap& map) {
  PerLabel<std::int64_t> area(max_label(map));
  for (const std::int32_t label : map) ++area[label];
  return area;
}

LabelMap label_components(const Raster<float>& probability, const ComponentOptions& options) {
  Mask mask(probability.width, probability.height);
  std::ranges::transform(probability, mask.begin(), [&](float p) { return p > options.threshold ? 1 : 0; });
  if (options.fill_holes) fill_holes(mask, options.max_hole_area);
  Components nuclei = connect(mask, true, false);
  drop_small(nuclei.map, options.min_area);
  return std::move(nuclei.map);
}

Raster<float> border_weights(const LabelMap& map, const BorderWeightOptions& options) {
  constexpr double negligible = 1e-4;
  if (!(options.w0 >= 0 && options.sigma > 0)) {
    throw Failure("weighting borders: expected w0 >= 0 and sigma > 0, got " + std::to_string(options.w0) +
                  " and " + std::to_string(options.sigma));
  }
  Raster<float> weights(map.width, map.height);
  std::ranges::fill(weights, 1.0f);
  if (options.w0 <= negligible) return weights;
  const double two_sigma2 = 2 * options.sigma * options.sigma;
  const auto reach = static_cast<float>(std::sqrt(two_sigma2 * std::log(options.w0 / negligible)));
  for_each_gap(map, reach, [&](std::size_t pixel, float width) {
    if (map[pixel] != 0) return;
    const double square = static_cast<double>(width) * width;
    weights[pixel] += static_cast<float>(options.w0 * std::exp(-square / two_sigma2));
  });
  return weights;
}

Mask contact_borders(const LabelMap& map) {
  Mask border(map.width, map.height);
  for_each_gap(map, 3, [&](std::size_t pixel, float width) {
    if (width <= (map[pixel] == 0 ? 3.0f : 2.0f)) border[pixel] = 1;
  });
  return border;
}

Raster<float> depth_inside(const LabelMap& map) {
  struct Step {
    int dx, dy;
    float length;
  };
  constexpr float diagonal_length = std::numbers::sqrt2_v<float>;
  constexpr std::array<Step, 4> steps_before{
      {{-1, 0, 1}, {-1, -1, diagonal_length}, {0, -1, 1}, {1, -1, diagonal_length}}};
  Raster<float> depth(map.width, map.height);
  std::ranges::fill(depth, std::numeric_limits<float>::infinity());
  const auto visit = [&](int x, int y, int direction) {
    float& here = depth.at(x, y);
    const std::int32_t label = map.at(x, y);
    if (label == 0) {
      here = 0;
      return;
    }
    for (const Step& step : steps_before) {
      const int nx = x + direction * step.dx, ny = y + direction * step.dy;
      if (!map.contains(nx, ny)) continue;
      const float beyond = map.at(nx, ny) == label ? depth.at(nx, ny) : 0;
      here = std::min(here, beyond + step.length);
    }
  };
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) visit(x, y, 1);
  for (int y = map.height; y-- > 0;)
    for (int x = map.width; x-- > 0;) visit(x, y, -1);
  PerLabel<float> deepest(max_label(map));
  for (std::size_t i = 0; i < depth.size(); ++i) deepest[map[i]] = std::max(deepest[map[i]], depth[i]);
  for (std::size_t i = 0; i < depth.size(); ++i) {
    if (map[i] == 0) continue;
    const float most = deepest[map[i]];
    depth[i] = std::isinf(most) ? 1 : depth[i] / most;  // infinite: one nucleus is all there is
  }
  return depth;
}

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
