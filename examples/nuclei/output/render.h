#pragma once

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// The image, its contrast stretched between the 0.5 and 99.8 % brightness (and the shadows lifted
/// where it is mostly dark), with the inner outline of every nucleus: 1 pixel wide, 2 in images
/// above 512 pixels; RGB. Without `truth` close nuclei get different colours. With it, true outlines are
/// green, predicted ones red, and yellow where both agree. Throws Failure if the sizes disagree.
Picture overlay(const Image& image, const LabelMap& labels, const LabelMap* truth = nullptr);

}  // namespace nuclei
