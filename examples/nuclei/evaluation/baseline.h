#pragma once

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// What a model must beat to be worth its training: two answers that know nothing of nuclei.

/// No nucleus anywhere.
LabelMap all_background(const Image& image);

/// The threshold between two kinds of brightness that lie closest to their own means (Otsu 1979): the centre
/// of one of 256 equal bins between the darkest and the lightest pixel. A constant image has its one value.
float otsu_threshold(const Image& image);

/// The 4-connected parts above Otsu's threshold, or those up to it where the lighter side is the larger one:
/// nuclei are taken to cover less than half. Parts below 16 pixels are left out.
LabelMap otsu(const Image& image);

}  // namespace nuclei
