#pragma once

#include <optional>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/bowl_layout.h"
#include "evaluation/evaluation.h"
#include "inference/zoom.h"
#include "instances/watershed.h"

namespace nuclei {

/// How a model does on the images that are held out.
struct Validation {
  Evaluation evaluation;
  double loss = 0;     // summed over the images
  double seconds = 0;  // on the clock
  double network = 0;  // of the network alone, seconds of work
};

/// Finds nuclei in the images and scores them. Ranks of a job share them out, and all get the whole result.
/// Nothing if a signal stopped it.
std::optional<Validation> validate(karyon::UNet& model, const std::vector<Example>& images,
                                   const SegmentOptions& rules, const SizeOptions& size);

}  // namespace nuclei
