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

std::size_t pixel_count(int width, int height) {
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
}

void check_size(const char* task, std::size_t got, int width, int height) {
  if (width >= 1 && height >= 1 && got == pixel_count(width, height)) return;
  throw Failure(std::string(task) + ": expected one value per pixel of a " + std::to_string(width) + " x " +
                std::to_string(height) + " image, got " + std::to_string(got));
}

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
  std::vector<std::int32_t> component;  // per pixel: 0 outside, else 1..k in scan order
  std::vector<int> area;                // per component; [0] counts the pixels outside
};

/// Connected components of the pixels where mask == value.
Components connect(const std::vector<std::uint8_t>& mask, int width, int height, bool value, bool diagonal) {
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
  Components result{std::vector<std::int32_t>(mask.size()), {0}};
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == value) {
      // The representative comes first in scan order, so its number is known by now.
      const auto first = static_cast<std::size_t>(sets.find(static_cast<std::int32_t>(i)));
      if (first == i) result.area.push_back(0);
      result.component[i] =
          first == i ? static_cast<std::int32_t>(result.area.size()) - 1 : result.component[first];
    }
    ++result.area[static_cast<std::size_t>(result.component[i])];
  }
  return result;
}

void fill_holes(std::vector<std::uint8_t>& mask, int width, int height, int max_area) {
  const Components background = connect(mask, width, height, false, true);
  std::vector<bool> hole(background.area.size());
  for (std::size_t c = 1; c < hole.size(); ++c) hole[c] = background.area[c] <= max_area;
  const auto keep_open = [&](int x, int y) {
    const std::size_t i = pixel_count(width, y) + static_cast<std::size_t>(x);
    hole[static_cast<std::size_t>(background.component[i])] = false;
  };
  for (int x = 0; x < width; ++x) keep_open(x, 0), keep_open(x, height - 1);
  for (int y = 0; y < height; ++y) keep_open(0, y), keep_open(width - 1, y);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (hole[static_cast<std::size_t>(background.component[i])]) mask[i] = 1;
  }
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
std::vector<NearestTwo> scan_columns(const LabelMap& map) {
  const auto width = static_cast<std::size_t>(map.width);
  const auto height = static_cast<std::size_t>(map.height);
  std::vector<NearestTwo> nearest(map.labels.size());
  std::vector<NearestTwo> column(width);  // as seen from the current row
  const auto visit_row = [&](std::size_t y) {
    for (std::size_t x = 0; x < width; ++x) {
      NearestTwo& seen = column[x];
      seen.first.distance += 1;
      seen.second.distance += 1;
      const std::int32_t label = map.labels[y * width + x];
      if (label != 0) {
        if (label != seen.first.label) seen.second = seen.first;
        seen.first = {label, 0};
      }
      nearest[y * width + x].add(seen.first);
      nearest[y * width + x].add(seen.second);
    }
  };
  for (std::size_t y = 0; y < height; ++y) visit_row(y);
  column.assign(width, {});
  for (std::size_t y = height; y-- > 0;) visit_row(y);
  return nearest;
}

// The second nearest nucleus of a pixel is among the nearest two of the column where it comes
// closest: any nearer one in that column would be nearer to the pixel as well. So two passes over
// the columns and then a walk along the row, outwards until no column can add anything, are exact.

/// Calls visit(pixel, d1 + d2) for pixels whose distances to the nearest two distinct nuclei add up to at
/// most `reach`; a pixel of a nucleus has d1 = 0.
template <class Visit>
void for_each_gap(const LabelMap& map, float reach, const Visit& visit) {
  const std::vector<NearestTwo> columns = scan_columns(map);
  for (int y = 0; y < map.height; ++y) {
    const std::size_t row = pixel_count(map.width, y);
    for (int x = 0; x < map.width; ++x) {
      NearestTwo nearest;
      const auto look = [&](int column, float dx) {
        if (column < 0 || column >= map.width) return;
        const NearestTwo& seen = columns[row + static_cast<std::size_t>(column)];
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
      if (sum <= reach) visit(row + static_cast<std::size_t>(x), sum);
    }
  }
}

/// Binomial smoothing along rows, then along columns; the image goes on beyond its edge as at it.
std::vector<float> smoothed(std::vector<float> values, int width, int height) {
  const auto w = static_cast<std::size_t>(width), h = static_cast<std::size_t>(height);
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
  pass(h, w, w, 1);
  pass(w, 1, h, w);
  return values;
}

/// A watershed that pours pixels in from the highest level down. Where two regions meet they become one if
/// the lower peak is less than `prominence` levels above the meeting point, or its region is a few pixels of
/// noise; otherwise the pixel goes to the region it met first and the border stands.
class Watershed {
 public:
  Watershed(const std::vector<std::uint8_t>& level, const std::vector<std::uint8_t>& mask, int width,
            int prominence)
      : level_(level), mask_(mask), width_(static_cast<std::size_t>(width)), prominence_(prominence) {}

  /// A region per pixel, numbered from 1 in no order; 0 outside the mask.
  std::vector<std::int32_t> run() {
    std::array<std::vector<std::size_t>, 256> pixels;
    for (std::size_t i = 0; i < mask_.size(); ++i)
      if (mask_[i]) pixels[level_[i]].push_back(i);
    region_.assign(mask_.size(), 0);
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
        parent_.push_back(static_cast<std::int32_t>(parent_.size()));
        queue.assign(1, i);
        region_[i] = static_cast<std::int32_t>(parent_.size());
        pour(queue, now);
      }
    }
    for (std::int32_t& region : region_)
      if (region != 0) region = find(region - 1) + 1;
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
      ++area_[static_cast<std::size_t>(find(region_[i] - 1))];
      for_each_neighbour(i, [&](std::size_t n) {
        if (region_[n] == 0 && mask_[n] && level_[n] == now) queue.push_back(n);
      });
    }
    queue.clear();
  }
  std::int32_t join_neighbours(std::size_t i, int now) {
    std::int32_t mine = -1;
    for_each_neighbour(i, [&](std::size_t n) {
      if (region_[n] == 0) return;
      const std::int32_t other = find(region_[n] - 1);
      if (mine < 0) mine = other;
      if (other == mine) return;
      const auto strength = [&](std::int32_t r) {
        return std::pair(peak_[static_cast<std::size_t>(r)], area_[static_cast<std::size_t>(r)]);
      };
      const auto [weak, strong] =
          strength(mine) < strength(other) ? std::pair(mine, other) : std::pair(other, mine);
      const auto w = static_cast<std::size_t>(weak), s = static_cast<std::size_t>(strong);
      if (peak_[w] - now >= prominence_ && area_[w] >= noise) return;
      parent_[w] = strong;
      area_[s] += area_[w];
      mine = strong;
    });
    return mine + 1;
  }
  std::int32_t find(std::int32_t r) {
    const auto parent = [&](std::int32_t k) -> std::int32_t& { return parent_[static_cast<std::size_t>(k)]; };
    while (parent(r) != r) r = parent(r) = parent(parent(r));
    return r;
  }

  const std::vector<std::uint8_t>&level_, &mask_;
  std::size_t width_;
  int prominence_;
  std::vector<std::int32_t> region_;  // per pixel, 1 + index into the rest
  std::vector<std::int32_t> parent_;
  std::vector<int> peak_;
  std::vector<std::int64_t> area_;
};

/// Gives background that one nucleus surrounds to that nucleus.
void fill_holes(LabelMap& map) {
  std::vector<std::uint8_t> mask(map.labels.size());
  std::ranges::transform(map.labels, mask.begin(), [](std::int32_t label) { return label != 0; });
  const Components background = connect(mask, map.width, map.height, false, true);
  constexpr std::int32_t open = -1;  // at the edge, or between several nuclei
  std::vector<std::int32_t> owner(background.area.size());
  const auto meet = [&](std::int32_t component, std::int32_t label) {
    std::int32_t& known = owner[static_cast<std::size_t>(component)];
    if (known != open) known = known == 0 || known == label ? label : open;
  };
  std::size_t i = 0;
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x, ++i) {
      const bool right = x + 1 < map.width, below = y + 1 < map.height;
      if (mask[i] == 0 && (x == 0 || y == 0 || !right || !below)) meet(background.component[i], open);
      const auto pair = [&](std::size_t other) {
        if (mask[i] != mask[other])
          meet(background.component[mask[i] ? other : i], map.labels[mask[i] ? i : other]);
      };
      if (right) pair(i + 1);
      if (below) pair(i + static_cast<std::size_t>(map.width));
    }
  }
  for (i = 0; i < mask.size(); ++i) {
    const std::int32_t label = owner[static_cast<std::size_t>(background.component[i])];
    if (mask[i] == 0 && label > 0) map.labels[i] = label;
  }
}

/// Drops nuclei below min_area pixels and numbers the rest 1, 2, ... in scan order.
void drop_small(LabelMap& map, int min_area) {
  std::vector<std::int64_t> area(static_cast<std::size_t>(max_label(map)) + 1);
  for (const std::int32_t label : map.labels) ++area[static_cast<std::size_t>(label)];
  std::vector<std::int32_t> renumbered(area.size());
  std::int32_t next = 0;
  for (std::int32_t& label : map.labels) {
    if (label == 0) continue;
    std::int32_t& number = renumbered[static_cast<std::size_t>(label)];
    if (number == 0 && area[static_cast<std::size_t>(label)] >= min_area) number = ++next;
    label = number;
  }
}

}  // namespace

std::int32_t max_label(const LabelMap& map) { return map.labels.empty() ? 0 : std::ranges::max(map.labels); }

LabelMap label_components(const std::vector<float>& probability, int width, int height,
                          const ComponentOptions& options) {
  check_size("labelling nuclei", probability.size(), width, height);
  std::vector<std::uint8_t> mask(probability.size());
  std::ranges::transform(probability, mask.begin(), [&](float p) { return p > options.threshold ? 1 : 0; });
  if (options.fill_holes) fill_holes(mask, width, height, options.max_hole_area);

  Components nuclei = connect(mask, width, height, true, false);
  std::vector<std::int32_t> dense(nuclei.area.size(), 0);
  std::int32_t count = 0;
  for (std::size_t c = 1; c < dense.size(); ++c) {
    if (nuclei.area[c] >= options.min_area) dense[c] = ++count;
  }
  for (std::int32_t& c : nuclei.component) c = dense[static_cast<std::size_t>(c)];
  return {width, height, std::move(nuclei.component)};
}

std::vector<float> border_weights(const LabelMap& map, const BorderWeightOptions& options) {
  constexpr double negligible = 1e-4;
  check_size("weighting borders", map.labels.size(), map.width, map.height);
  if (!(options.w0 >= 0 && options.sigma > 0)) {
    throw Failure("weighting borders: expected w0 >= 0 and sigma > 0, got " + std::to_string(options.w0) +
                  " and " + std::to_string(options.sigma));
  }
  std::vector<float> weights(map.labels.size(), 1.0f);
  if (options.w0 <= negligible) return weights;
  const double two_sigma2 = 2 * options.sigma * options.sigma;
  const auto reach = static_cast<float>(std::sqrt(two_sigma2 * std::log(options.w0 / negligible)));
  for_each_gap(map, reach, [&](std::size_t pixel, float width) {
    if (map.labels[pixel] != 0) return;
    const double square = static_cast<double>(width) * width;
    weights[pixel] += static_cast<float>(options.w0 * std::exp(-square / two_sigma2));
  });
  return weights;
}

std::vector<std::uint8_t> contact_borders(const LabelMap& map) {
  check_size("marking borders", map.labels.size(), map.width, map.height);
  std::vector<std::uint8_t> border(map.labels.size());
  for_each_gap(map, 3, [&](std::size_t pixel, float width) {
    if (width <= (map.labels[pixel] == 0 ? 3.0f : 2.0f)) border[pixel] = 1;
  });
  return border;
}

std::vector<float> depth_inside(const LabelMap& map) {
  check_size("measuring depth", map.labels.size(), map.width, map.height);
  struct Step {
    int dx, dy;
    float length;
  };
  constexpr float diagonal_length = std::numbers::sqrt2_v<float>;
  constexpr std::array<Step, 4> steps_before{
      {{-1, 0, 1}, {-1, -1, diagonal_length}, {0, -1, 1}, {1, -1, diagonal_length}}};
  std::vector<float> depth(map.labels.size(), std::numeric_limits<float>::infinity());
  const auto visit = [&](int x, int y, int direction) {
    const std::size_t at = pixel_count(map.width, y) + static_cast<std::size_t>(x);
    const std::int32_t label = map.labels[at];
    if (label == 0) {
      depth[at] = 0;
      return;
    }
    for (const Step& step : steps_before) {
      const int nx = x + direction * step.dx, ny = y + direction * step.dy;
      if (nx < 0 || ny < 0 || nx >= map.width || ny >= map.height) continue;
      const std::size_t neighbour = pixel_count(map.width, ny) + static_cast<std::size_t>(nx);
      const float beyond = map.labels[neighbour] == label ? depth[neighbour] : 0;
      depth[at] = std::min(depth[at], beyond + step.length);
    }
  };
  for (int y = 0; y < map.height; ++y)
    for (int x = 0; x < map.width; ++x) visit(x, y, 1);
  for (int y = map.height; y-- > 0;)
    for (int x = map.width; x-- > 0;) visit(x, y, -1);
  std::vector<float> deepest(static_cast<std::size_t>(max_label(map)) + 1);
  for (std::size_t i = 0; i < depth.size(); ++i) {
    float& most = deepest[static_cast<std::size_t>(map.labels[i])];
    most = std::max(most, depth[i]);
  }
  for (std::size_t i = 0; i < depth.size(); ++i) {
    if (map.labels[i] == 0) continue;
    const float most = deepest[static_cast<std::size_t>(map.labels[i])];
    depth[i] = std::isinf(most) ? 1 : depth[i] / most;  // infinite: one nucleus is all there is
  }
  return depth;
}

LabelMap segment(const PixelMaps& maps, const SegmentOptions& options) {
  for (const auto* map : {&maps.nucleus, &maps.border, &maps.depth})
    check_size("separating nuclei", map->size(), maps.width, maps.height);
  const std::size_t count = maps.nucleus.size();
  std::vector<std::uint8_t> mask(count), level(count);
  std::vector<float> height(count);
  for (std::size_t i = 0; i < count; ++i) {
    mask[i] = maps.nucleus[i] > options.nucleus;
    height[i] = 0.5f * (maps.depth[i] + maps.nucleus[i] * (1 - maps.border[i]));
  }
  for (int times = 0; times < 2; ++times) height = smoothed(std::move(height), maps.width, maps.height);
  for (std::size_t i = 0; i < count; ++i)
    level[i] = static_cast<std::uint8_t>(std::lround(std::clamp(height[i], 0.0f, 1.0f) * 255));
  Watershed watershed(level, mask, maps.width, static_cast<int>(std::lround(options.prominence * 255)));
  LabelMap result{maps.width, maps.height, watershed.run()};
  fill_holes(result);
  drop_small(result, options.min_area);
  return result;
}

}  // namespace nuclei
