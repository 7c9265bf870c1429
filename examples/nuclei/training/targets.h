#pragma once

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

struct BorderWeightOptions {
  double w0 = 10;    // weight added in the middle of the narrowest gap
  double sigma = 5;  // how fast it decays with the width of the gap, pixels
};

/// Per-pixel loss weights that stress the gaps between close nuclei (Ronneberger et al. 2015):
///   1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on background, 1 on nuclei
/// where d1 and d2 are the Euclidean distances to the nearest pixels of the nearest and the second
/// nearest nucleus. Exact up to additions below 1e-4, which are left out.
/// Throws Failure unless w0 >= 0 and sigma > 0.
Raster<float> border_weights(const LabelMap& map, const BorderWeightOptions& options = {});

/// Where two nuclei meet: 1 on pixels of a nucleus within 2 pixels of another one and on background
/// between two that are at most 3 pixels apart, else 0.
Mask contact_borders(const LabelMap& map);

/// How deep inside its nucleus a pixel lies: the distance to the nearest pixel of something else, divided
/// by the largest such distance in that nucleus; in (0, 1], 0 on background. The image's edge is no border.
/// Distances are sums of steps to the eight neighbours, at most 8 % too long.
Raster<float> depth_inside(const LabelMap& map);

}  // namespace nuclei
