#pragma once

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// Connected parts of a mask.
struct Components {
  LabelMap map;        // 0 outside the mask, else 1..k in scan order of the parts' first pixels
  PerLabel<int> area;  // pixels of each part; [0] counts those outside
};

/// Time is linear in the pixels.
///   diagonal  whether pixels that meet only at a corner belong together
Components connect(const Mask& mask, bool diagonal);

/// The parts of a mask as nuclei: those that meet only at a corner stay apart, and those of fewer than
/// `min_area` pixels are left out.
///   returns  labels 1..k without gaps, in scan order of their first pixels
LabelMap label_components(const Mask& mask, int min_area = 1);

}  // namespace nuclei
