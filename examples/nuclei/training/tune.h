#pragma once

#include <functional>
#include <vector>

#include "inference/segmenter.h"

namespace nuclei {

/// The thresholds with which separate() comes closest to the true nuclei: those with the best mean of Data
/// Science Bowl score and Dice over the pictures. The search goes through each threshold's grid in turn until
/// none changes.
///   seen, truth  one per picture, of the same sizes, with typical areas; at least one
///   enough       whether the time is up; asked after each grid
/// Throws Failure if there are no pictures or the two numbers differ.
SegmentOptions tune_thresholds(
    const std::vector<Seen>& seen, const std::vector<LabelMap>& truth,
    const std::function<bool()>& enough = [] { return false; });

}  // namespace nuclei
