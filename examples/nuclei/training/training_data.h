#pragma once

#include <string>
#include <vector>

#include "dataset/bowl_layout.h"
#include "training/settings.h"

namespace nuclei {

/// The images of a training, and which of them are held out to validate on.
struct TrainingData {
  std::vector<Example> training, validation;
  std::string split_csv;    // a line per image: its group, modality and set
  std::string fingerprint;  // of the images and how they were split
};

/// Reads the images and splits them as the options say. Throws Failure if there are none, one cannot be read,
/// or they have faults (refuse_faults) and the run is a new one; Stopped if a signal came meanwhile.
TrainingData load_data(const TrainOptions& options);

}  // namespace nuclei
