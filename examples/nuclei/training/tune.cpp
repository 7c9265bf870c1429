#include "training/tune.h"

#include <string>

#include <karyon/core/parallel.h>

#include "common/error.h"
#include "evaluation/metrics.h"

namespace nuclei {
namespace {

double quality(const std::vector<Seen>& seen, const std::vector<LabelMap>& truth,
               const SegmentOptions& options) {
  std::vector<Scores> scores(seen.size());
  karyon::parallel_for(static_cast<std::int64_t>(seen.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      scores[i] = score(truth[i], separate(seen[i], options));
  });
  const Scores all = mean(scores);
  return (all.bowl + all.dice) / 2;
}

}  // namespace

SegmentOptions tune_thresholds(const std::vector<Seen>& seen, const std::vector<LabelMap>& truth,
                               const std::function<bool()>& enough) {
  if (seen.empty() || seen.size() != truth.size())
    throw Failure("tuning thresholds: expected true nuclei for each picture, got " +
                  std::to_string(truth.size()) + " for " + std::to_string(seen.size()));
  SegmentOptions best;
  double best_quality = quality(seen, truth, best);
  bool moved = true;
  const auto try_all = [&](auto SegmentOptions::*threshold, auto... values) {
    for (const auto value : {values...}) {
      if (best.*threshold == value) continue;
      SegmentOptions other = best;
      other.*threshold = value;
      const double q = quality(seen, truth, other);
      // A tiny gain may be chance, and would not help with other pictures.
      if (q > best_quality + 1e-4) {
        best = other;
        best_quality = q;
        moved = true;
      }
    }
  };
  for (int round = 0; round < 3 && moved; ++round) {
    moved = false;
    try_all(&SegmentOptions::prominence, 0.08f, 0.1f, 0.12f, 0.15f, 0.18f, 0.22f, 0.27f);
    if (enough()) break;
    try_all(&SegmentOptions::nucleus, 0.35f, 0.4f, 0.45f, 0.5f, 0.55f, 0.6f, 0.65f);
    if (enough()) break;
    try_all(&SegmentOptions::min_area, 8, 12, 16, 24, 32, 48);
    if (enough()) break;
    try_all(&SegmentOptions::fragment, 0.0f, 0.05f, 0.1f, 0.15f, 0.2f);
    if (enough()) break;
  }
  return best;
}

}  // namespace nuclei
