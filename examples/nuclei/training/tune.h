#pragma once

#include <vector>

#include "instances/segment.h"

namespace nuclei {

/// The thresholds under which segment() comes closest to the true nuclei: the best mean of Data Science Bowl
/// score and Dice over the pictures, found by going through each threshold's grid in turn until none moves.
///   maps, truth  one per picture, of the same sizes; at least one
/// Throws Failure if there is none or the numbers differ.
SegmentOptions tune_thresholds(const std::vector<PixelMaps>& maps, const std::vector<LabelMap>& truth);

}  // namespace nuclei
