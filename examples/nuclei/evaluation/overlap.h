#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "instances/label_map.h"

namespace nuclei {

/// How the nuclei of a truth and of a prediction cover each other.
struct Overlaps {
  struct Pair {
    std::int32_t truth, predicted;  // labels, both above 0
    std::int64_t shared;            // pixels of both, above 0
  };
  PerLabel<std::int64_t> true_area, predicted_area;  // pixels
  std::vector<Pair> pairs;                           // by ascending truth, then predicted

  /// Pixels of either nucleus of a pair.
  std::int64_t united(const Pair& pair) const {
    return true_area[pair.truth] + predicted_area[pair.predicted] - pair.shared;
  }
};

/// Counts in one pass over the pixels. Labels need not be dense. Throws Failure if the maps differ in size or
/// are empty.
Overlaps count_overlaps(const LabelMap& truth, const LabelMap& predicted);

/// What became of a nucleus.
enum class Fate {
  correct,  // a true and a found nucleus with an IoU above 0.5
  missed,   // a true nucleus that nothing found matches
  extra,    // a found nucleus that is none
  merged,   // one of several true nuclei that were found as one; or the found one
  split,    // a true nucleus that was found in parts; or one of the parts
};
/// In the order to show them.
inline constexpr std::array all_fates{Fate::correct, Fate::missed, Fate::merged, Fate::split, Fate::extra};
const char* name(Fate fate);

/// How many nuclei met each fate: true ones, but for Fate::extra, which counts found ones.
class FateCounts {
 public:
  int& operator[](Fate fate) { return counts_[static_cast<std::size_t>(fate)]; }
  int operator[](Fate fate) const { return counts_[static_cast<std::size_t>(fate)]; }
  FateCounts& operator+=(const FateCounts& other) {
    for (const Fate fate : all_fates) (*this)[fate] += other[fate];
    return *this;
  }

 private:
  std::array<int, all_fates.size()> counts_{};
};

/// The fate of every nucleus on both sides. The values of [0] and of labels that do not occur mean nothing.
///
/// Nuclei that are not correct are merged if one found nucleus holds more than half of each of several true
/// ones. They are split if one true nucleus holds more than half of each of several found ones.
struct Fates {
  PerLabel<Fate> truth, predicted;
  FateCounts counts;
};

/// Throws Failure as count_overlaps does.
Fates compare(const LabelMap& truth, const LabelMap& predicted);

}  // namespace nuclei
