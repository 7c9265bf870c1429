#pragma once

#include "training/training.h"

namespace nuclei {

/// Holds each fold out in turn and trains on the others, in options.out/fold-K. Writes folds.csv and
/// folds.json with each fold's scores, their mean and standard deviation: what to expect of images from a new
/// experiment. A second call goes on where the first was stopped.
///   returns  false if it was stopped before the last fold's end
/// Throws as train() does.
bool train_folds(const TrainOptions& options);

}  // namespace nuclei
