#include "inference/bands.h"

#include <algorithm>
#include <numeric>

namespace nuclei {

Clumps::Clumps(const LabelMap& map)
    : height_(map.height), parent_(static_cast<std::size_t>(max_label(map)) + 1), extent_(parent_.size()) {
  std::iota(parent_.begin(), parent_.end(), 0);
  const auto width = static_cast<std::size_t>(map.width);
  std::size_t i = 0;
  for (int y = 0; y < map.height; ++y) {
    for (std::size_t x = 0; x < width; ++x, ++i) {
      const std::int32_t label = map[i];
      if (label == 0) continue;
      Extent& e = extent_[static_cast<std::size_t>(label)];
      if (e.first < 0) e.first = y;
      e.last = y;
      if (x > 0) join(label, map[i - 1]);
      if (y > 0) join(label, map[i - width]);
    }
  }
  for (std::size_t label = 1; label < parent_.size(); ++label) {
    const Extent& part = extent_[label];
    if (part.first < 0) continue;
    Extent& whole = extent_[find(label)];
    whole.clump_first = whole.clump_first < 0 ? part.first : std::min(whole.clump_first, part.first);
    whole.clump_last = std::max(whole.clump_last, part.last);
  }
}

std::size_t Clumps::find(std::size_t label) const {
  while (parent_[label] != label) label = parent_[label] = parent_[parent_[label]];
  return label;
}

void Clumps::join(std::int32_t a, std::int32_t b) {
  if (b == 0 || a == b) return;
  parent_[find(static_cast<std::size_t>(a))] = find(static_cast<std::size_t>(b));
}

// The rule. A clump belongs to the band in which it begins, and a band takes it only if it sees all of it. So
// a band ends above every clump that may go on below the map. The next band begins there and sees that clump
// from its first row.
//
// A clump that begins in the band's first row, or above it after a cut, and may still go on is taller than a
// band. It is cut: the band takes those of its nuclei that do not go on, and ends above the first that does.
// But a band has at least tail_rows rows, and a band that cuts ends in the upper half of the map if it can.
// The next bands take the rest of the clump in the same way. A nucleus that is itself taller than a band is
// taken as far as it is seen.
BandCut cut_band(const Clumps& clumps, int start, bool last, bool after_cut) {
  // What reaches one of the last three rows may go on below them.
  const int height = clumps.height(), open_rows = last ? height : height - 3;
  const auto nucleus_goes_on = [&](std::size_t label) { return clumps.last_row(label) >= open_rows; };
  const auto clump_goes_on = [&](std::size_t label) { return clumps.clump_last_row(label) >= open_rows; };

  BandCut result{last ? height : height - tail_rows, false, std::vector<std::int32_t>(clumps.count())};
  for (std::size_t label = 1; label < clumps.count(); ++label) {
    if (!clumps.occurs(label) || !clump_goes_on(label)) continue;
    const int first = clumps.clump_first_row(label);
    if (first > start) {
      result.end = std::min(result.end, first);
    } else if (first == start || after_cut) {
      result.cut = true;
    }
  }
  if (result.cut) {
    const int earliest = start + tail_rows;
    result.end = std::min(result.end, std::max(earliest, height / 2));
    for (std::size_t label = 1; label < clumps.count(); ++label)
      if (clumps.occurs(label) && nucleus_goes_on(label))
        result.end = std::min(result.end, std::max(earliest, clumps.first_row(label)));
  }

  for (std::size_t label = 1; label < clumps.count(); ++label) {
    if (!clumps.occurs(label)) continue;
    const int first = clumps.clump_first_row(label);
    bool take = first >= start && first < result.end && !clump_goes_on(label);
    if (!take && (result.cut || after_cut)) {
      const bool is_cut_here = first == start && clump_goes_on(label),
                 was_cut_above = first < start && after_cut;
      const bool begins_here = clumps.first_row(label) < result.end && clumps.last_row(label) >= start;
      take = (is_cut_here || was_cut_above) && begins_here &&
             (!nucleus_goes_on(label) || clumps.first_row(label) <= start);
    }
    result.keep[label] = take;
  }
  return result;
}

}  // namespace nuclei
