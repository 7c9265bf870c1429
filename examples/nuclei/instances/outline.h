#pragma once

#include <vector>

#include "instances/measure.h"

namespace nuclei {

/// A corner of pixels: the pixel (x, y) has the corners (x, y) to (x + 1, y + 1).
struct Corner {
  int x, y;
  bool operator==(const Corner&) const = default;
};

/// A closed line along pixel sides that meets no corner twice: the corners where it turns, each once.
using Ring = std::vector<Corner>;

/// Twice the area a ring encloses: positive for an outer line, negative for that of a hole.
std::int64_t doubled_area(const Ring& ring);

/// A connected part of a nucleus. Usually a nucleus has one, without holes.
struct Part {
  Ring outer;
  std::vector<Ring> holes;
};

/// The outlines that enclose exactly the pixels of `label` within its bounding box, the largest part first.
std::vector<Part> outline(const LabelMap& map, const Nucleus& nucleus);

/// The ring with its corners cut off, which is smoother to look at: it connects the middles of the pixel
/// sides. Coordinates are half pixels: the pixel (x, y) has its middle at (2 x + 1, 2 y + 1).
Ring with_cut_corners(const Ring& ring);

/// A vertical run of pixels (x, y), (x, y + 1), ...
struct Run {
  int x, y, length;
};

/// The pixels of a nucleus column by column.
std::vector<Run> column_runs(const LabelMap& map, const Nucleus& nucleus);

/// Consecutive pixels of an image that is read column by column; the first pixel of the image is 0.
struct Span {
  std::int64_t start, length;
};

/// The spans that runs cover in an image of that height. A run that continues at the top of the next column
/// is part of the same span.
std::vector<Span> column_spans(const std::vector<Run>& runs, int height);

}  // namespace nuclei
