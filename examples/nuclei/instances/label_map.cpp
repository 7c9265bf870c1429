#include "instances/label_map.h"

#include <algorithm>

namespace nuclei {

std::int32_t max_label(const LabelMap& map) { return map.empty() ? 0 : std::ranges::max(map); }

PerLabel<std::int64_t> label_areas(const LabelMap& map) {
  PerLabel<std::int64_t> area(max_label(map));
  for (const std::int32_t label : map) ++area[label];
  return area;
}

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

}  // namespace nuclei
