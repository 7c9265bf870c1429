#pragma once

#include <array>
#include <span>

#include "segment.h"

namespace nuclei {

/// IoU thresholds of the Data Science Bowl 2018: 0.50, 0.55, ..., 0.95.
inline constexpr int kThresholds = 10;
constexpr double threshold(int k) { return (10 + k) / 20.0; }

/// How well a prediction matches the truth; all but the counts are in [0, 1], 1 is perfect.
struct Scores {
  double accuracy = 0;                   // pixels with nucleus or background right
  double iou = 0;                        // of all nucleus pixels; 1 if neither side has any
  double dice = 0;                       // of all nucleus pixels; 1 if neither side has any
  double bowl = 0;                       // mean of ap
  std::array<double, kThresholds> ap{};  // precision TP / (TP + FP + FN) per IoU threshold
  int true_count = 0;                    // nuclei
  int predicted_count = 0;
};

/// Scores one image as the Data Science Bowl did: a true and a predicted nucleus match at threshold
/// t if their IoU is strictly above t, so every nucleus has at most one match. An image without
/// nuclei on both sides scores 1. Labels need not be dense. Time is linear in the pixels. Throws
/// Failure if the maps differ in size or are empty.
Scores score(const LabelMap& truth, const LabelMap& predicted);

/// The mean over images; the two counts are totals. Throws Failure if there is none.
Scores mean(std::span<const Scores> scores);

}  // namespace nuclei
