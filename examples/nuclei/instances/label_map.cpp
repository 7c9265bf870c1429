#include "instances/label_map.h"

#include <algorithm>
#include <numeric>

namespace nuclei {

std::int32_t max_label(const LabelMap& map) { return map.empty() ? 0 : std::ranges::max(map); }

PerLabel<std::int64_t> label_areas(const LabelMap& map) {
  PerLabel<std::int64_t> area(max_label(map));
  for (const std::int32_t label : map) ++area[label];
  return area;
}

namespace {

// Numbers the labels that are kept 1, 2, ... in scan order of their first pixels; the others become 0.
template <class Keep>
void renumber(LabelMap& map, std::int32_t highest, const Keep& keep) {
  PerLabel<std::int32_t> renumbered(highest);
  std::int32_t next = 0;
  for (std::int32_t& label : map) {
    if (label == 0) continue;
    std::int32_t& number = renumbered[label];
    if (number == 0 && keep(label)) number = ++next;
    label = number;
  }
}

}  // namespace

std::int64_t typical_area(std::vector<std::int64_t> areas) {
  std::ranges::sort(areas);
  const std::int64_t all = std::accumulate(areas.begin(), areas.end(), std::int64_t{0});
  std::int64_t sum = 0;
  for (const std::int64_t area : areas)
    if (sum += area; 2 * sum >= all) return area;
  return 0;
}

PerLabel<std::uint8_t> fragments(const LabelMap& map, double least, bool top, bool bottom) {
  const PerLabel<std::int64_t> area = label_areas(map);
  PerLabel<std::uint8_t> small(area.highest());
  for (std::int32_t label = 1; label <= area.highest(); ++label)
    small[label] = static_cast<double>(area[label]) < least;
  for (int x = 0; x < map.width; ++x) {
    if (top) small[map.at(x, 0)] = 0;
    if (bottom) small[map.at(x, map.height - 1)] = 0;
  }
  for (int y = 0; y < map.height; ++y) small[map.at(0, y)] = small[map.at(map.width - 1, y)] = 0;
  return small;
}

void drop_fragments(LabelMap& map, double least) {
  if (least <= 0) return;
  const PerLabel<std::uint8_t> dropped = fragments(map, least);
  renumber(map, dropped.highest(), [&](std::int32_t label) { return dropped[label] == 0; });
}

void drop_small(LabelMap& map, int min_area) {
  const PerLabel<std::int64_t> area = label_areas(map);
  renumber(map, area.highest(), [&](std::int32_t label) { return area[label] >= min_area; });
}

}  // namespace nuclei
