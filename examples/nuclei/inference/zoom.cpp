#include "inference/zoom.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "instances/watershed.h"

namespace nuclei {
namespace {

/// Nuclei in a part of a picture, as found in every `shrink`-th pixel.
struct Part {
  Rect where;
  int shrink;
  LabelMap map;
  PerLabel<float> depth;  // the greatest of each nucleus, as the model says
  bool nucleus(int x, int y) const { return map.at((x - where.x0) / shrink, (y - where.y0) / shrink) != 0; }
};

/// Where at most so many parts of `length` pixels begin along a side. They are spread evenly, and cover a short
/// side.
std::vector<int> begins(int size, int length, int most) {
  const int count = std::clamp((size + length / 2) / length, 1, most), free = std::max(0, size - length);
  std::vector<int> at;
  for (int i = 0; i < count; ++i)
    at.push_back(count == 1 ? free / 2 : static_cast<int>(std::int64_t{free} * i / (count - 1)));
  return at;
}

PerLabel<float> greatest_depths(const LabelMap& map, const PixelMaps& maps) {
  PerLabel<float> depth(max_label(map));
  for (std::size_t i = 0; i < map.size(); ++i)
    depth[map[i]] = std::max(depth[map[i]], maps[i * map_count + depth_map]);
  return depth;
}

/// The model's view of a picture that is shrunk so many times.
std::vector<Part> look(karyon::UNet& model, int width, int height, int shrink, int parts_per_side,
                       const ReadPixels& read) {
  constexpr int part_size = 256;  // as the model sees it
  const int length = part_size * shrink;
  std::vector<Part> parts;
  for (const int y : begins(height, length, parts_per_side)) {
    std::vector<Rect> row;
    for (const int x : begins(width, length, parts_per_side))
      row.push_back({x, y, std::min(width, x + length), std::min(height, y + length)});
    const std::vector<Raster<float>> inputs = shrunk(row, shrink, read);
    for (std::size_t i = 0; i < row.size(); ++i) {
      // Specks are smaller in a shrunk picture.
      SegmentOptions options;
      options.min_area = std::max(6, options.min_area / (shrink * shrink));
      const PixelMaps maps = whole_maps(model, inputs[i]);
      LabelMap map = segment(maps, options);
      PerLabel<float> depth = greatest_depths(map, maps);
      parts.push_back({row[i], shrink, std::move(map), std::move(depth)});
    }
  }
  return parts;
}

/// The nuclei that are seen as a whole: large ones are often cut by the part's edge.
PerLabel<std::int64_t> whole_areas(const LabelMap& map) {
  PerLabel<std::int64_t> area = label_areas(map);
  for (int x = 0; x < map.width; ++x) area[map.at(x, 0)] = area[map.at(x, map.height - 1)] = 0;
  for (int y = 0; y < map.height; ++y) area[map.at(0, y)] = area[map.at(map.width - 1, y)] = 0;
  return area;
}

void append(std::vector<std::int64_t>& all, const PerLabel<std::int64_t>& areas) {
  all.insert(all.end(), areas.begin() + 1, areas.end());
}

double diameter_of_all(const std::vector<Part>& parts) {
  std::vector<std::int64_t> areas;
  for (const Part& part : parts) append(areas, label_areas(part.map));
  return parts.front().shrink * median_diameter(std::move(areas));
}

double diameter_of_large(const std::vector<Part>& parts) {
  std::vector<std::int64_t> areas;
  for (const Part& part : parts) append(areas, whole_areas(part.map));
  const double whole = parts.front().shrink * median_diameter(std::move(areas));
  return whole > 0 ? whole : diameter_of_all(parts);
}

/// How sure the model is of its nuclei: of a whole one it says that its middle is deep inside. 0 if it finds
/// none.
double certainty(const std::vector<Part>& parts) {
  double sum = 0, count = 0;
  for (const Part& part : parts) {
    sum += std::accumulate(part.depth.begin() + 1, part.depth.end(), 0.0);
    count += part.depth.highest();
  }
  return count > 0 ? sum / count : 0;
}

/// Whether the finer view finds as much as the coarser one, where both look.
bool agree(const std::vector<Part>& fine, const std::vector<Part>& coarse) {
  constexpr double same = 0.8;
  std::int64_t seen_fine = 0, seen_coarse = 0;
  for (const Part& f : fine) {
    for (const Part& c : coarse) {
      const Rect both{std::max(f.where.x0, c.where.x0), std::max(f.where.y0, c.where.y0),
                      std::min(f.where.x1, c.where.x1), std::min(f.where.y1, c.where.y1)};
      for (int y = both.y0; y < both.y1; y += f.shrink)
        for (int x = both.x0; x < both.x1; x += f.shrink) {
          seen_fine += f.nucleus(x, y);
          seen_coarse += c.nucleus(x, y);
        }
    }
  }
  return static_cast<double>(seen_fine) >= same * static_cast<double>(seen_coarse);
}

}  // namespace

double median_diameter(std::vector<std::int64_t> areas) {
  std::erase(areas, 0);
  if (areas.empty()) return 0;
  const auto middle = areas.begin() + static_cast<std::ptrdiff_t>(areas.size() / 2);
  std::nth_element(areas.begin(), middle, areas.end());
  return 2 * std::sqrt(static_cast<double>(*middle) / std::numbers::pi);
}

namespace {

/// The typical area, in pixels of the picture.
double typical_in(const std::vector<Part>& parts) {
  std::vector<std::int64_t> whole, all;
  for (const Part& part : parts) {
    append(whole, whole_areas(part.map));
    append(all, label_areas(part.map));
  }
  const std::int64_t area = typical_area(std::move(whole)), shrink = parts.front().shrink;
  return static_cast<double>(shrink * shrink * (area > 0 ? area : typical_area(std::move(all))));
}

/// What choose_zoom() does where there is a choice. It leaves the view at its zoom, if it has one.
NucleusSize chosen_by_size(const Levels& levels, int width, int height, double learned,
                           const std::function<std::vector<Part>(int shrink, int parts_per_side)>& look_at,
                           std::vector<Part>& seen) {
  const auto view = [&](int shrink) { return look_at(shrink, 4); };
  const double larger_than_usual = std::max(1.0, learned / 40);
  const double suspicious = 40 * larger_than_usual;  // from here on a finer view may see less
  const double wide = 60 * larger_than_usual, too_wide = large_diameter * larger_than_usual,
               most = most_diameter * larger_than_usual;
  // Cells with small nuclei look like large nuclei from afar. Up close the model is surer of the small ones.
  std::optional<double> up_close;
  const auto fooled = [&](const std::vector<Part>& coarse) {
    constexpr double surer = 0.05;
    if (!up_close) up_close = certainty(look_at(1, 2));
    return *up_close > certainty(coarse) + surer;
  };
  const std::vector<Part> quarter = view(4);
  const double large = diameter_of_large(quarter);
  if (std::min(width, height) > most) {
    const std::vector<Part> eighth = view(8);
    const double larger = diameter_of_large(eighth);
    if (larger > most && !agree(quarter, eighth))
      return seen = quarter, NucleusSize{.zoom = 0.25, .diameter = larger, .too_large = true};
  }
  if (large > too_wide && !fooled(quarter))
    return seen = quarter, NucleusSize{.zoom = 0.25, .diameter = large};
  // A quarter shows small nuclei that touch as one: the next finer view decides.
  if (large >= suspicious) {
    std::vector<Part> half = view(2);
    const double in_half = diameter_of_large(half);
    if ((in_half > wide && !fooled(half)) || (in_half >= suspicious && !agree(seen = view(1), half)))
      return seen = std::move(half), NucleusSize{.zoom = 0.5, .diameter = in_half};
  }
  if (levels.light_background()) return {.zoom = 1, .diameter = large};
  if (seen.empty()) seen = view(1);
  const double diameter = diameter_of_all(seen);
  const bool small = diameter > 0 && diameter < small_diameter;
  return {.zoom = small ? 2.0 : 1.0, .diameter = diameter, .too_small = small && diameter < least_diameter};
}

}  // namespace

NucleusSize choose_zoom(karyon::UNet& model, int width, int height, const Levels& levels,
                        const ReadPixels& read, const SizeOptions& options) {
  const auto view = [&](int shrink, int parts_per_side = 4) {
    return look(model, width, height, shrink, parts_per_side, read);
  };
  std::vector<Part> seen;  // at the zoom, but never larger than the picture
  NucleusSize size{.zoom = options.zoom};
  if (options.zoom == auto_zoom) size = chosen_by_size(levels, width, height, options.learned, view, seen);
  if (!options.typical) return size;
  if (seen.empty()) seen = view(size.zoom < 1 ? static_cast<int>(1 / size.zoom) : 1);
  size.typical = typical_in(seen);
  return size;
}

}  // namespace nuclei
