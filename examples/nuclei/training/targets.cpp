#include "training/targets.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "common/error.h"

namespace nuclei {
namespace {

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

/// Calls visit(pixel, d1 + d2) for pixels whose distances to the nearest two distinct nuclei add up to at
/// most `reach`; a pixel of a nucleus has d1 = 0.
///
/// This is exact: the second nearest nucleus of a pixel is among the nearest two of the column where it comes
/// closest, since any nearer one in that column would be nearer to the pixel as well.
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
      // A nucleus that is dx columns away gives a sum of at least min(d1, dx) + dx.
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

}  // namespace

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

}  // namespace nuclei
