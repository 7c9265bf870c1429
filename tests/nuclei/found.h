#pragma once

#include "drawing.h"
#include "inference/finder.h"

namespace nuclei::test {

/// The nucleus of a map with one nucleus.
inline Found found_in(const LabelMap& map) {
  const Nucleus n = measure(map, flat_image(map.width, map.height, 0.2f)).at(0);
  return {n, outline(map, n), column_runs(map, n)};
}

}  // namespace nuclei::test
