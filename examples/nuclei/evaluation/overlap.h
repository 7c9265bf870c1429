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

/// The fate of every nucleus on both sides, by label; [0] and labels that do not occur mean nothing.
///
/// What is not correct is merged where one found nucleus holds more than half of each of several true ones,
/// split where one true nucleus holds more than half of each of several found ones.
struct Fates {
  PerLabel<Fate> truth, predicted;
  int correct = 0, missed = 0, merged = 0, split = 0;  // true nuclei; together they are all of them
  int extra = 0;                                       // found nuclei that belong to no true one
};

/// Throws Failure as count_overlaps does.
Fates compare(const LabelMap& truth, const LabelMap& predicted);

}  // namespace nuclei
