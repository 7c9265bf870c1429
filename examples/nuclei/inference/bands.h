#pragma once

#include <cstdint>
#include <vector>

#include "instances/label_map.h"

namespace nuclei {

/// Which nuclei of a map touch, directly or through others: they are a clump.
class Clumps {
 public:
  explicit Clumps(const LabelMap& map);

  /// Rows of the map.
  int height() const { return height_; }
  /// One more than the highest label.
  std::size_t count() const { return parent_.size(); }
  bool occurs(std::size_t label) const { return extent_[label].first >= 0; }
  /// Rows of a nucleus that occurs, and of its clump.
  int first_row(std::size_t label) const { return extent_[label].first; }
  int last_row(std::size_t label) const { return extent_[label].last; }
  int clump_first_row(std::size_t label) const { return extent_[find(label)].clump_first; }
  int clump_last_row(std::size_t label) const { return extent_[find(label)].clump_last; }

 private:
  struct Extent {
    int first = -1, last = -1;              // of the nucleus
    int clump_first = -1, clump_last = -1;  // of the clump it stands for
  };
  std::size_t find(std::size_t label) const;
  void join(std::int32_t a, std::int32_t b);

  int height_;
  mutable std::vector<std::size_t> parent_;
  std::vector<Extent> extent_;
};

/// Rows at the end of a band in which nothing begins that counts: a nucleus that reaches over all of them
/// holds more pixels than any speck that is dropped.
inline constexpr int tail_rows = 64;

/// What a band of rows takes of the nuclei that it sees.
struct BandCut {
  int end;                         // the band's rows are start ... end - 1; the next one begins at `end`
  bool cut;                        // a clump is taller than the band and was cut
  std::vector<std::int32_t> keep;  // 1 for the labels that the band takes, else 0
};

/// Where a band ends, and which nuclei are its own; rows are those of the map.
///   clumps     of all rows that the band sees: some above it, its own, and those below that it leaves
///   start      the band's first row
///   last       the picture ends with the map
///   after_cut  the band above cut a clump
BandCut cut_band(const Clumps& clumps, int start, bool last, bool after_cut);

}  // namespace nuclei
