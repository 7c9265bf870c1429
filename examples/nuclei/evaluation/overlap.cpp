#include "evaluation/overlap.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "common/error.h"

namespace nuclei {

Overlaps count_overlaps(const LabelMap& truth, const LabelMap& predicted) {
  if (truth.width != predicted.width || truth.height != predicted.height ||
      truth.labels.size() != predicted.labels.size() || truth.labels.empty()) {
    throw Failure("scoring a prediction: expected labels for the " + std::to_string(truth.width) + " x " +
                  std::to_string(truth.height) + " pixels of the truth, got " +
                  std::to_string(predicted.width) + " x " + std::to_string(predicted.height));
  }
  Overlaps result;
  result.true_area.resize(static_cast<std::size_t>(max_label(truth)) + 1);
  result.predicted_area.resize(static_cast<std::size_t>(max_label(predicted)) + 1);
  std::unordered_map<std::uint64_t, std::int64_t> by_pair;
  const std::size_t count = truth.labels.size();
  for (std::size_t start = 0, end = 0; start < count; start = end) {
    // Labels come in runs; counting a run at once saves most look-ups.
    const std::int32_t t = truth.labels[start], p = predicted.labels[start];
    while (end < count && truth.labels[end] == t && predicted.labels[end] == p) ++end;
    const auto length = static_cast<std::int64_t>(end - start);
    result.true_area[static_cast<std::size_t>(t)] += length;
    result.predicted_area[static_cast<std::size_t>(p)] += length;
    if (t != 0 && p != 0)
      by_pair[std::uint64_t{static_cast<std::uint32_t>(t)} << 32 | static_cast<std::uint32_t>(p)] += length;
  }
  for (const auto& [key, shared] : by_pair)
    result.pairs.push_back(
        {static_cast<std::int32_t>(key >> 32), static_cast<std::int32_t>(key & 0xffffffffu), shared});
  std::ranges::sort(result.pairs, {},
                    [](const Overlaps::Pair& pair) { return std::pair(pair.truth, pair.predicted); });
  return result;
}

const char* name(Fate fate) {
  switch (fate) {
    case Fate::correct: return "correct";
    case Fate::missed: return "missed";
    case Fate::extra: return "extra";
    case Fate::merged: return "merged";
    case Fate::split: return "split";
  }
  return "unknown";
}

Fates compare(const LabelMap& truth, const LabelMap& predicted) {
  const Overlaps overlaps = count_overlaps(truth, predicted);
  const std::size_t true_count = overlaps.true_area.size(), found_count = overlaps.predicted_area.size();
  // More than half of a nucleus lies in at most one of the other side: who that is, and how many it holds.
  std::vector<std::size_t> home_of_true(true_count), home_of_found(found_count);
  std::vector<int> held_by_found(found_count), held_by_true(true_count);
  Fates fates{std::vector<Fate>(true_count, Fate::missed), std::vector<Fate>(found_count, Fate::extra)};
  for (const Overlaps::Pair& pair : overlaps.pairs) {
    const auto t = static_cast<std::size_t>(pair.truth), p = static_cast<std::size_t>(pair.predicted);
    if (2 * pair.shared > overlaps.true_area[t]) {
      home_of_true[t] = p;
      ++held_by_found[p];
    }
    if (2 * pair.shared > overlaps.predicted_area[p]) {
      home_of_found[p] = t;
      ++held_by_true[t];
    }
    if (2 * pair.shared > overlaps.united(pair)) fates.truth[t] = fates.predicted[p] = Fate::correct;
  }
  for (std::size_t t = 1; t < true_count; ++t) {
    if (overlaps.true_area[t] == 0) continue;
    Fate& fate = fates.truth[t];
    if (fate != Fate::correct && home_of_true[t] != 0 && held_by_found[home_of_true[t]] > 1) {
      fate = Fate::merged;
    } else if (fate != Fate::correct && held_by_true[t] > 1) {
      fate = Fate::split;
    }
    ++(fate == Fate::correct  ? fates.correct
       : fate == Fate::merged ? fates.merged
       : fate == Fate::split  ? fates.split
                              : fates.missed);
  }
  for (std::size_t p = 1; p < found_count; ++p) {
    if (overlaps.predicted_area[p] == 0 || fates.predicted[p] == Fate::correct) continue;
    if (held_by_found[p] > 1) {
      fates.predicted[p] = Fate::merged;
    } else if (home_of_found[p] != 0 && held_by_true[home_of_found[p]] > 1) {
      fates.predicted[p] = Fate::split;
    } else {
      ++fates.extra;
    }
  }
  return fates;
}

}  // namespace nuclei
