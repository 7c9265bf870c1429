#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "evaluation/evaluation.h"
#include "instances/watershed.h"
#include "training/checkpoint.h"
#include "training/settings.h"

namespace nuclei {

/// What the file of a kept model tells beside its weights: how it was trained, and how good it is.
///   epochs    of the whole training
///   epoch     the one that is kept
///   diameter  the median of the nuclei to learn from, pixels
///   scores    of the held-out images; empty if there are none
///   fitted    the thresholds
std::map<std::string, std::string> model_metadata(const TrainOptions& options, std::int64_t epochs,
                                                  std::int64_t epoch, double diameter,
                                                  const std::vector<Scores>& scores,
                                                  const SegmentOptions& fitted);

/// report.html of a training.
///   held_out    the number of images
///   evaluation  of the last epoch that was scored
std::string training_report(const TrainOptions& options, std::int64_t epochs, const TrainingState& state,
                            std::size_t held_out, const Evaluation& evaluation, const Baselines& baselines);

}  // namespace nuclei
