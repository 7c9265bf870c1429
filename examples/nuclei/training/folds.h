#pragma once

#include "training/training.h"

namespace nuclei {

/// Trains on all folds but one, each in turn, in options.out/fold-K, and writes what a new experiment may
/// expect: folds.csv and folds.json with each fold's scores, their mean and standard deviation. Called again,
/// it goes on where it was stopped.
///   returns  false if it was stopped before the last fold's end
/// Throws as train() does.
bool train_folds(const TrainOptions& options);

}  // namespace nuclei
