#include "segment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "error.h"

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

LabelMap separate_touching(const LabelMap& map) {
  LabelMap result = map;
  const auto cut_between = [&](std::size_t a, std::size_t b) {
    if (map.labels[a] == 0 || map.labels[b] == 0 || map.labels[a] == map.labels[b]) return;
    result.labels[a] = result.labels[b] = 0;
  };
  const auto width = static_cast<std::size_t>(map.width);
  for (std::size_t i = 0; i < map.labels.size(); ++i) {
    if (i % width + 1 < width) cut_between(i, i + 1);
    if (i + width < map.labels.size()) cut_between(i, i + width);
  }
  return result;
}

LabelMap close_gaps(const LabelMap& map) {
  struct Step {
    int dx, dy;
  };
  constexpr std::size_t kBeside = 4;  // the first four are one step away, the others two
  constexpr std::array<Step, 12> kNear{{{-1, 0},
                                        {0, -1},
                                        {1, 0},
                                        {0, 1},
                                        {-2, 0},
                                        {0, -2},
                                        {2, 0},
                                        {0, 2},
                                        {-1, -1},
                                        {1, -1},
                                        {-1, 1},
                                        {1, 1}}};
  const auto label_at = [&](int x, int y) {
    if (x < 0 || y < 0 || x >= map.width || y >= map.height) return 0;
    return map.labels[pixel_count(map.width, y) + static_cast<std::size_t>(x)];
  };
  LabelMap result = map;
  std::size_t i = 0;
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x, ++i) {
      if (map.labels[i] != 0) continue;
      std::int32_t owner = 0;
      for (std::size_t k = 0; k < kBeside && owner == 0; ++k) {
        owner = label_at(x + kNear[k].dx, y + kNear[k].dy);
      }
      const bool gap = owner != 0 && std::ranges::any_of(kNear, [&](Step step) {
                         const std::int32_t other = label_at(x + step.dx, y + step.dy);
                         return other != 0 && other != owner;
                       });
      if (gap) result.labels[i] = owner;
    }
  }
  return result;
}

// The second nearest nucleus of a pixel is among the nearest two of the column where it comes
// closest: any nearer one in that column would be nearer to the pixel as well. So two passes over
// the columns and then a walk along the row, outwards until no column can add anything, are exact.
std::vector<float> border_weights(const LabelMap& map, const BorderWeightOptions& options) {
  constexpr double kNegligible = 1e-4;
  check_size("weighting borders", map.labels.size(), map.width, map.height);
  if (!(options.w0 >= 0 && options.sigma > 0)) {
    throw Failure("weighting borders: expected w0 >= 0 and sigma > 0, got " + std::to_string(options.w0) +
                  " and " + std::to_string(options.sigma));
  }
  std::vector<float> weights(map.labels.size(), 1.0f);
  if (options.w0 <= kNegligible) return weights;
  const double two_sigma2 = 2 * options.sigma * options.sigma;
  const auto reach = static_cast<float>(std::sqrt(two_sigma2 * std::log(options.w0 / kNegligible)));

  const std::vector<NearestTwo> columns = scan_columns(map);
  for (int y = 0; y < map.height; ++y) {
    const std::size_t row = pixel_count(map.width, y);
    for (int x = 0; x < map.width; ++x) {
      if (map.labels[row + static_cast<std::size_t>(x)] != 0) continue;
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
      const double sum = static_cast<double>(nearest.first.distance) + nearest.second.distance;
      if (sum <= reach) {
        weights[row + static_cast<std::size_t>(x)] +=
            static_cast<float>(options.w0 * std::exp(-sum * sum / two_sigma2));
      }
    }
  }
  return weights;
}

}  // namespace nuclei
