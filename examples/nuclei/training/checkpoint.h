#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <karyon/karyon.h>

#include "instances/watershed.h"
#include "training/settings.h"

namespace nuclei {

/// The numbers of a finished epoch. Without held-out images their loss and scores are NaN.
struct EpochMetrics {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  std::int64_t epoch = 0;
  double train_loss = 0;
  double validation_loss = unknown;
  double accuracy = unknown, iou = unknown, dice = unknown, bowl = unknown;  // means over the held-out images
  double lr = 0;                                                             // of the last step
  double seconds = 0;
};

/// A line per epoch, below a header.
std::string metrics_csv(const std::vector<EpochMetrics>& history);

/// Where the plan of a training that has a time stands (plan.h).
struct PlanState {
  double phase = 0, seconds_left = 0;
};

/// Where a training stands, besides its weights and the optimizer's averages.
struct TrainingState {
  std::int64_t epoch = 0, batch = 0;  // the next batch to train on
  double loss_sum = 0;                // of this epoch's batches so far
  double best = -1;                   // the quality of the best epoch, which the model's file holds
  std::int64_t best_epoch = 0;
  std::vector<EpochMetrics> history;
  SegmentOptions thresholds;  // those of the initial model; they are fitted after the last epoch
  std::string fingerprint;    // of the images and how they were split
  std::optional<PlanState> plan;
};

/// What is trained.
struct Trained {
  karyon::UNet& model;
  karyon::UNet& average;  // of the model over its last steps
  karyon::AdamW& optimizer;
};

/// The file of a run's folder, or the file itself.
std::filesystem::path checkpoint_file(const std::filesystem::path& run);

/// Takes the settings of a run from its checkpoint. If `out` is empty, the checkpoint's folder is used.
/// Throws Failure if the file is no checkpoint or is damaged. Its weights have the sizes that the settings
/// say.
///   returns  the checkpoint's tensors and entries, for read_state()
karyon::TensorFile open_checkpoint(const std::filesystem::path& file, TrainOptions& options);

/// Throws Failure or karyon::Error if the checkpoint is damaged or of another network.
///   file  where it was, for messages
TrainingState read_state(const std::filesystem::path& file, const karyon::TensorFile& checkpoint,
                         const Trained& trained);

/// Throws karyon::Error if it cannot be written.
void save_checkpoint(const std::filesystem::path& file, const TrainOptions& options, std::int64_t epochs,
                     const TrainingState& state, const Trained& trained);

}  // namespace nuclei
