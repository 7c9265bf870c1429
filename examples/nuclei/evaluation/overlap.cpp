#include "evaluation/overlap.h"

#include <algorithm>
#include <unordered_map>

#include "common/error.h"

namespace nuclei {

Overlaps count_overlaps(const LabelMap& truth, const LabelMap& predicted) {
  if (!truth.same_size(predicted) || truth.empty())
    throw Failure("scoring a prediction: expected labels for the " + size_text(truth) +
                  " pixels of the truth, got " + size_text(predicted));
  Overlaps result;
  result.true_area = PerLabel<std::int64_t>(max_label(truth));
  result.predicted_area = PerLabel<std::int64_t>(max_label(predicted));
  std::unordered_map<std::uint64_t, std::int64_t> by_pair;
  const std::size_t count = truth.size();
  for (std::size_t start = 0, end = 0; start < count; start = end) {
    // Labels come in runs; counting a run at once saves most look-ups.
    const std::int32_t t = truth[start], p = predicted[start];
    while (end < count && truth[end] == t && predicted[end] == p) ++end;
    const auto length = static_cast<std::int64_t>(end - start);
    result.true_area[t] += length;
    result.predicted_area[p] += length;
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
  constexpr std::array names{"correct", "missed", "extra", "merged", "split"};
  return names[static_cast<std::size_t>(fate)];
}

Fates compare(const LabelMap& truth, const LabelMap& predicted) {
  const Overlaps overlaps = count_overlaps(truth, predicted);
  const std::int32_t highest_true = overlaps.true_area.highest(),
                     highest_found = overlaps.predicted_area.highest();
  // A nucleus has its home in the nucleus of the other side that holds more than half of it, if there is one.
  PerLabel<std::int32_t> home_of_true(highest_true), home_of_found(highest_found);
  PerLabel<int> held_by_found(highest_found), held_by_true(highest_true);
  Fates fates{PerLabel<Fate>(highest_true, Fate::missed), PerLabel<Fate>(highest_found, Fate::extra), {}};
  for (const Overlaps::Pair& pair : overlaps.pairs) {
    const std::int32_t t = pair.truth, p = pair.predicted;
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
  for (std::int32_t t = 1; t <= highest_true; ++t) {
    if (overlaps.true_area[t] == 0) continue;
    Fate& fate = fates.truth[t];
    if (fate != Fate::correct && home_of_true[t] != 0 && held_by_found[home_of_true[t]] > 1) {
      fate = Fate::merged;
    } else if (fate != Fate::correct && held_by_true[t] > 1) {
      fate = Fate::split;
    }
    ++fates.counts[fate];
  }
  for (std::int32_t p = 1; p <= highest_found; ++p) {
    if (overlaps.predicted_area[p] == 0 || fates.predicted[p] == Fate::correct) continue;
    if (held_by_found[p] > 1) {
      fates.predicted[p] = Fate::merged;
    } else if (home_of_found[p] != 0 && held_by_true[home_of_found[p]] > 1) {
      fates.predicted[p] = Fate::split;
    } else {
      ++fates.counts[Fate::extra];
    }
  }
  return fates;
}

}  // namespace nuclei
