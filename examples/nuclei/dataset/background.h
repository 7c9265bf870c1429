#pragma once

#include <cstdint>
#include <vector>

#include "dataset/groups.h"
#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// The labels that cover the background and not a nucleus: a mask was inverted, or its background has a value
/// other than 0. Such a label is large, reaches the edges of the image, and holds the pixels that are the
/// background's by their brightness; or all labels together leave no pixel free, and it is the largest.
///   kind  of the image: the background is dark in fluorescence, light otherwise
std::vector<std::int32_t> background_labels(const Image& image, const LabelMap& labels, Modality kind);

}  // namespace nuclei
