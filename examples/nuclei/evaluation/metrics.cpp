#include "evaluation/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <karyon/core/random.h>

#include "common/error.h"
#include "common/text.h"
#include "evaluation/overlap.h"

namespace nuclei {
namespace {

double ratio(double part, double whole) { return whole == 0 ? 1.0 : part / whole; }
double ratio(std::int64_t part, std::int64_t whole) {
  return ratio(static_cast<double>(part), static_cast<double>(whole));
}

std::int64_t count_nuclei(const PerLabel<std::int64_t>& area) {
  return std::count_if(area.begin() + 1, area.end(), [](std::int64_t a) { return a > 0; });
}

/// Pairs each true nucleus with the found one of the highest IoU, which several may share, and adds the
/// nuclei without a partner.
void count_aji(const Overlaps& overlaps, Counts& counts) {
  PerLabel<char> used(overlaps.predicted_area.highest());
  auto pair = overlaps.pairs.begin();
  for (std::int32_t t = 1; t <= overlaps.true_area.highest(); ++t) {
    const Overlaps::Pair* best = nullptr;
    for (; pair != overlaps.pairs.end() && pair->truth == t; ++pair) {
      if (!best || pair->shared * overlaps.united(*best) > best->shared * overlaps.united(*pair))
        best = &*pair;
    }
    counts.aji_common += best ? best->shared : 0;
    counts.aji_united += best ? overlaps.united(*best) : overlaps.true_area[t];
    if (best) used[best->predicted] = true;
  }
  for (std::int32_t p = 1; p <= used.highest(); ++p) {
    if (!used[p]) counts.aji_united += overlaps.predicted_area[p];
  }
}

void check_some(std::span<const Scores> scores) {
  if (scores.empty()) throw Failure("averaging scores: expected at least one image, got none");
}

/// The middle 95 % of each metric's values over all draws.
std::vector<Interval> intervals(const std::vector<std::vector<double>>& samples) {
  std::vector<Interval> result;
  for (std::vector<double> values : samples) {
    std::ranges::sort(values);
    const auto at = [&](double share) {
      const double position = share * static_cast<double>(values.size() - 1);
      const auto below = static_cast<std::size_t>(position);
      const std::size_t above = std::min(below + 1, values.size() - 1);
      return values[below] + (position - static_cast<double>(below)) * (values[above] - values[below]);
    };
    result.push_back({at(0.025), at(0.975)});
  }
  return result;
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  pixels += other.pixels;
  true_pixels += other.true_pixels;
  predicted_pixels += other.predicted_pixels;
  common_pixels += other.common_pixels;
  true_nuclei += other.true_nuclei;
  predicted_nuclei += other.predicted_nuclei;
  std::ranges::transform(matches, other.matches, matches.begin(), std::plus());
  matched_iou += other.matched_iou;
  aji_common += other.aji_common;
  aji_united += other.aji_united;
  return *this;
}

Scores scores_of(const Counts& counts) {
  Scores scores;
  scores.counts = counts;
  scores.true_count = static_cast<int>(counts.true_nuclei);
  scores.predicted_count = static_cast<int>(counts.predicted_nuclei);
  const std::int64_t wrong = counts.true_pixels + counts.predicted_pixels - 2 * counts.common_pixels;
  scores.accuracy = ratio(counts.pixels - wrong, counts.pixels);
  scores.iou = ratio(counts.common_pixels, counts.common_pixels + wrong);
  scores.dice = ratio(2 * counts.common_pixels, counts.true_pixels + counts.predicted_pixels);
  const std::int64_t nuclei = counts.true_nuclei + counts.predicted_nuclei;
  std::ranges::transform(counts.matches, scores.ap.begin(),
                         [&](std::int64_t tp) { return ratio(tp, nuclei - tp); });
  scores.bowl = std::accumulate(scores.ap.begin(), scores.ap.end(), 0.0) / thresholds;
  const std::int64_t matches = counts.matches[0];
  scores.f1 = ratio(2 * matches, nuclei);
  scores.sq = matches > 0 ? counts.matched_iou / static_cast<double>(matches) : nuclei == 0 ? 1 : 0;
  scores.pq = scores.f1 * scores.sq;
  scores.aji = ratio(counts.aji_common, counts.aji_united);
  scores.count_error = static_cast<double>(std::abs(counts.predicted_nuclei - counts.true_nuclei));
  return scores;
}

Scores score(const LabelMap& truth, const LabelMap& predicted) {
  const Overlaps overlaps = count_overlaps(truth, predicted);
  Counts counts;
  counts.pixels = static_cast<std::int64_t>(truth.size());
  counts.true_pixels = counts.pixels - overlaps.true_area[0];
  counts.predicted_pixels = counts.pixels - overlaps.predicted_area[0];
  counts.true_nuclei = count_nuclei(overlaps.true_area);
  counts.predicted_nuclei = count_nuclei(overlaps.predicted_area);
  for (const Overlaps::Pair& pair : overlaps.pairs) {
    counts.common_pixels += pair.shared;
    const std::int64_t united = overlaps.united(pair);
    // shared / united > (10 + k) / 20 in integers: no rounding decides a match.
    for (int k = 0; k < thresholds && 20 * pair.shared > (10 + k) * united; ++k) {
      ++counts.matches[static_cast<std::size_t>(k)];
      if (k == 0) counts.matched_iou += ratio(pair.shared, united);
    }
  }
  count_aji(overlaps, counts);
  return scores_of(counts);
}

Scores mean(std::span<const Scores> scores) {
  check_some(scores);
  Scores sum;
  const auto values = {&Scores::accuracy, &Scores::iou, &Scores::dice, &Scores::bowl,       &Scores::f1,
                       &Scores::sq,       &Scores::pq,  &Scores::aji,  &Scores::count_error};
  for (const Scores& s : scores) {
    for (const auto value : values) sum.*value += s.*value;
    std::ranges::transform(sum.ap, s.ap, sum.ap.begin(), std::plus());
    sum.true_count += s.true_count;
    sum.predicted_count += s.predicted_count;
    sum.counts += s.counts;
  }
  const auto n = static_cast<double>(scores.size());
  for (const auto value : values) sum.*value /= n;
  for (double& value : sum.ap) value /= n;
  return sum;
}

Scores pooled(std::span<const Scores> scores) {
  check_some(scores);
  Counts sum;
  for (const Scores& s : scores) sum += s.counts;
  return scores_of(sum);
}

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> all = [] {
    std::vector<Metric> list{{"dsb_score", "Bowl score (mean AP)", &Scores::bowl},
                             {"pixel_accuracy", "Pixel accuracy", &Scores::accuracy},
                             {"iou", "IoU of nucleus pixels", &Scores::iou},
                             {"dice", "Dice of nucleus pixels", &Scores::dice},
                             {"f1", "F1 at IoU 0.5 (DQ)", &Scores::f1},
                             {"sq", "Segmentation quality SQ", &Scores::sq},
                             {"pq", "Panoptic quality PQ", &Scores::pq},
                             {"aji", "Aggregated Jaccard AJI", &Scores::aji},
                             {"count_error", "Count error, nuclei", &Scores::count_error}};
    for (int k = 0; k < thresholds; ++k)
      list.push_back({"ap_" + fixed(threshold(k), 2), "AP at IoU " + fixed(threshold(k), 2),
                      [k](const Scores& s) { return s.ap[static_cast<std::size_t>(k)]; }});
    return list;
  }();
  return all;
}

Summary summarize(std::span<const Scores> scores) {
  Summary summary{scores.size(), mean(scores), pooled(scores), {}, {}};
  const std::size_t n = metrics().size();
  std::vector<std::vector<double>> means(n), pools(n), values(n);
  for (std::size_t m = 0; m < n; ++m) {
    for (const Scores& s : scores) values[m].push_back(metrics()[m].of(s));
  }
  karyon::Generator random(1);
  std::vector<std::size_t> drawn(scores.size());
  for (int round = 0; round < resamples; ++round) {
    for (std::size_t& image : drawn)
      image = static_cast<std::size_t>(random.below(static_cast<std::int64_t>(scores.size())));
    Counts counts;
    for (const std::size_t image : drawn) counts += scores[image].counts;
    const Scores pool = scores_of(counts);
    for (std::size_t m = 0; m < n; ++m) {
      double sum = 0;
      for (const std::size_t image : drawn) sum += values[m][image];
      means[m].push_back(sum / static_cast<double>(drawn.size()));
      pools[m].push_back(metrics()[m].of(pool));
    }
  }
  summary.mean_interval = intervals(means);
  summary.pooled_interval = intervals(pools);
  return summary;
}

}  // namespace nuclei
