#pragma once

#include <vector>

#include "segment.h"

namespace nuclei {

/// A closed line around a part of a nucleus, or around a hole in it. Points are in half pixels from the
/// image's upper left corner: the middles of the pixel edges that the line crosses, without those on a
/// straight way.
struct Contour {
  struct Point {
    int x, y;
  };
  std::int32_t label;
  std::vector<Point> points;
};

/// The contours of all nuclei, in scan order. Parts that meet at a corner only are apart.
std::vector<Contour> trace_contours(const LabelMap& map);

}  // namespace nuclei
