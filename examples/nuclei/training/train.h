#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace nuclei {

struct TrainOptions {
  std::filesystem::path data, out;
  std::optional<std::filesystem::path> resume;
  std::optional<std::filesystem::path> init;  // a model to begin with ("default": the bundled one)
  std::optional<std::int64_t> epochs;         // not given: 40, or what fits in max_minutes
  std::optional<double> max_minutes;
  std::int64_t crop = 256, batch_size = 8, base_width = 32, depth = 4;
  double lr = 2e-3;
  double validation = 0.15;         // share of the images held out; 0: train on all, and keep the last epoch
  int folds = 0;                    // cut the images into so many folds and hold one out instead ...
  int fold = 0;                     // ... this one, from 1; 0: each in turn, in a run of its own
  std::int64_t patience = 0;        // stop after so many epochs without a better score; 0: never
  std::int64_t validate_every = 1;  // score the held-out images after so many epochs each, and the last
  std::uint64_t seed = 1;
  std::int64_t limit = 0;  // use only so many images, spread over the set; 0: all
  std::string device = "auto";
  std::string precision = "f32";  // or bf16: convolutions and what is between them; weights stay f32
};

/// Trains a U-Net on a folder in the Data Science Bowl layout and leaves in `out`:
///   model.safetensors  the best epoch by validation score
///   last.ckpt          everything that a resumed run needs: settings, weights, the optimizer, the position
///                      in the schedule and in the random streams
///   metrics.csv        a line per epoch
///   split.csv          which images were held out
///   report.html        curves, scores and pictures of the held-out images, as of the last epoch
/// Stops cleanly on Ctrl-C, SIGTERM and the time limit, between two steps; a resumed run ends with the same
/// bits. With folds, the run of fold K is in out/fold-K, and out/folds.json and out/folds.csv have the scores
/// of all folds, their mean and spread. The same call again continues where it was stopped.
///   returns  false if it was stopped before its last epoch
/// Throws UsageError, Failure or karyon::Error.
bool train(const TrainOptions& options);

}  // namespace nuclei
