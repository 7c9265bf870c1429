#include "metrics.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

#include "error.h"

namespace nuclei {
namespace {

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct Overlaps {
  std::vector<std::int64_t> true_area, predicted_area;      // by label, [0] is background
  std::unordered_map<std::uint64_t, std::int64_t> by_pair;  // key() -> pixels; nuclei only

  static std::uint64_t key(std::int32_t truth, std::int32_t predicted) {
    return std::uint64_t{static_cast<std::uint32_t>(truth)} << 32 | static_cast<std::uint32_t>(predicted);
  }
};

Overlaps count_overlaps(const LabelMap& truth, const LabelMap& predicted) {
  Overlaps result;
  result.true_area.resize(static_cast<std::size_t>(max_label(truth)) + 1);
  result.predicted_area.resize(static_cast<std::size_t>(max_label(predicted)) + 1);
  const std::size_t count = truth.labels.size();
  for (std::size_t start = 0, end = 0; start < count; start = end) {
    // Labels come in runs; counting a run at once saves most look-ups.
    const std::int32_t t = truth.labels[start], p = predicted.labels[start];
    while (end < count && truth.labels[end] == t && predicted.labels[end] == p) ++end;
    const auto length = static_cast<std::int64_t>(end - start);
    result.true_area[static_cast<std::size_t>(t)] += length;
    result.predicted_area[static_cast<std::size_t>(p)] += length;
    if (t != 0 && p != 0) result.by_pair[Overlaps::key(t, p)] += length;
  }
  return result;
}

int count_nuclei(const std::vector<std::int64_t>& area) {
  return static_cast<int>(std::count_if(area.begin() + 1, area.end(), [](std::int64_t a) { return a > 0; }));
}

}  // namespace

Scores score(const LabelMap& truth, const LabelMap& predicted) {
  if (truth.width != predicted.width || truth.height != predicted.height ||
      truth.labels.size() != predicted.labels.size() || truth.labels.empty()) {
    throw Failure("scoring a prediction: expected labels for the " + std::to_string(truth.width) + " x " +
                  std::to_string(truth.height) + " pixels of the truth, got " +
                  std::to_string(predicted.width) + " x " + std::to_string(predicted.height));
  }
  const Overlaps overlaps = count_overlaps(truth, predicted);
  const auto total = static_cast<std::int64_t>(truth.labels.size());
  const std::int64_t true_pixels = total - overlaps.true_area[0];
  const std::int64_t predicted_pixels = total - overlaps.predicted_area[0];
  std::int64_t common = 0;
  std::array<int, kThresholds> matches{};
  for (const auto& [key, shared] : overlaps.by_pair) {
    common += shared;
    const std::int64_t united =
        overlaps.true_area[key >> 32] + overlaps.predicted_area[key & 0xffffffffu] - shared;
    // shared / united > (10 + k) / 20 in integers: no rounding decides a match.
    for (int k = 0; k < kThresholds && 20 * shared > (10 + k) * united; ++k) {
      ++matches[static_cast<std::size_t>(k)];
    }
  }

  Scores scores;
  scores.true_count = count_nuclei(overlaps.true_area);
  scores.predicted_count = count_nuclei(overlaps.predicted_area);
  const std::int64_t wrong = true_pixels + predicted_pixels - 2 * common;
  scores.accuracy = ratio(total - wrong, total);
  scores.iou = ratio(common, common + wrong);
  scores.dice = ratio(2 * common, true_pixels + predicted_pixels);
  std::ranges::transform(matches, scores.ap.begin(),
                         [&](int tp) { return ratio(tp, scores.true_count + scores.predicted_count - tp); });
  scores.bowl = std::accumulate(scores.ap.begin(), scores.ap.end(), 0.0) / kThresholds;
  return scores;
}

Scores mean(std::span<const Scores> scores) {
  if (scores.empty()) throw Failure("averaging scores: expected at least one image, got none");
  Scores sum;
  for (const Scores& s : scores) {
    sum.accuracy += s.accuracy;
    sum.iou += s.iou;
    sum.dice += s.dice;
    sum.bowl += s.bowl;
    std::ranges::transform(sum.ap, s.ap, sum.ap.begin(), std::plus());
    sum.true_count += s.true_count;
    sum.predicted_count += s.predicted_count;
  }
  const auto n = static_cast<double>(scores.size());
  for (double* value : {&sum.accuracy, &sum.iou, &sum.dice, &sum.bowl}) *value /= n;
  for (double& value : sum.ap) value /= n;
  return sum;
}

}  // namespace nuclei
