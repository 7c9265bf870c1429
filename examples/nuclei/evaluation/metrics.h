#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "instances/label_map.h"

namespace nuclei {

/// IoU thresholds of the Data Science Bowl 2018: 0.50, 0.55, ..., 0.95.
inline constexpr int thresholds = 10;
constexpr double threshold(int k) { return (10 + k) / 20.0; }

/// What scores are made of. It adds up: the counts of several images, scored as if they were one.
struct Counts {
  std::int64_t pixels = 0;
  std::int64_t true_pixels = 0, predicted_pixels = 0, common_pixels = 0;  // of nuclei
  std::int64_t true_nuclei = 0, predicted_nuclei = 0;
  std::array<std::int64_t, thresholds> matches{};  // TP per IoU threshold
  double matched_iou = 0;                          // summed over the matches above IoU 0.5
  std::int64_t aji_common = 0, aji_united = 0;     // pixels

  Counts& operator+=(const Counts& other);
};

/// How well a prediction matches the truth; all but the counts are in [0, 1], 1 is perfect.
struct Scores {
  double accuracy = 0;                  // pixels with nucleus or background right
  double iou = 0;                       // of all nucleus pixels; 1 if neither side has any
  double dice = 0;                      // of all nucleus pixels; 1 if neither side has any
  double bowl = 0;                      // mean of ap
  std::array<double, thresholds> ap{};  // precision TP / (TP + FP + FN) per IoU threshold
  double f1 = 0;                        // 2 TP / (2 TP + FP + FN) at IoU 0.5: the detection quality DQ
  double sq = 0;                        // segmentation quality: mean IoU of the matches; 0 without any
  double pq = 0;                        // panoptic quality: DQ times SQ (Kirillov et al. 2019)
  double aji = 0;                       // aggregated Jaccard index (Kumar et al. 2017)
  double count_error = 0;               // |predicted - true| nuclei; not bounded by 1, 0 is perfect
  int true_count = 0;                   // nuclei
  int predicted_count = 0;
  Counts counts;
};

/// Scores one image as the Data Science Bowl did: a true and a predicted nucleus match at threshold
/// t if their IoU is strictly above t, so every nucleus has at most one match. An image without
/// nuclei on both sides scores 1. Labels need not be dense. Time is linear in the pixels. Throws
/// Failure if the maps differ in size or are empty.
Scores score(const LabelMap& truth, const LabelMap& predicted);

/// The scores that follow from counts.
Scores scores_of(const Counts& counts);

/// The mean over images, each with the same weight; the counts are totals. Throws Failure if there is none.
Scores mean(std::span<const Scores> scores);

/// All images as one: every nucleus and every pixel has the same weight. Throws Failure if there is none.
Scores pooled(std::span<const Scores> scores);

/// One number of Scores, for tables and files.
struct Metric {
  std::string key;    // in JSON: "dice", "ap_0.50"
  std::string label;  // for people: "Dice", "AP at IoU 0.50"
  std::function<double(const Scores&)> of;
};

/// Every number of Scores but the counts, in the order to show them.
const std::vector<Metric>& metrics();

/// Where a figure would lie in 95 of 100 sets of images like this one.
struct Interval {
  double low = 0, high = 0;
};

struct Summary {
  std::size_t images = 0;
  Scores mean, pooled;
  std::vector<Interval> mean_interval, pooled_interval;  // one for each of metrics()
};

inline constexpr int resamples = 2000;

/// Mean and pooled scores with their bootstrap intervals: percentiles 2.5 and 97.5 over resamples draws of
/// as many images with replacement. The same scores give the same intervals. Throws Failure if there is none.
Summary summarize(std::span<const Scores> scores);

}  // namespace nuclei
