#pragma once

#include "training/settings.h"

namespace nuclei {

/// Trains a U-Net on a folder in the Data Science Bowl layout and leaves in `out`:
///   model.safetensors  the best epoch by validation score
///   last.ckpt          everything needed to go on: settings, weights, optimizer, and the position in the
///                      schedule and in the random streams
///   metrics.csv        a line per epoch
///   report.html        curves, scores and pictures of the held-out images, as of the last epoch
///   split.csv          which images were held out
/// Stops cleanly on Ctrl-C, SIGTERM and the time limit, between two steps; a resumed run ends with the same
/// bits. With folds, each fold's run is in out/fold-K, and out/folds.json and folds.csv have the scores of
/// all, their mean and spread; the same call again goes on where it was stopped.
///   returns  false if it was stopped before its last epoch
/// Throws UsageError, Failure or karyon::Error.
bool train(const TrainOptions& options);

/// Holds each fold out in turn and trains on the others, in options.out/fold-K. Writes folds.csv and
/// folds.json with each fold's scores, their mean and standard deviation: what to expect of images from a new
/// experiment. A second call goes on where the first was stopped.
///   returns  false if it was stopped before the last fold's end
/// Throws as train() does.
bool train_folds(const TrainOptions& options);

}  // namespace nuclei
