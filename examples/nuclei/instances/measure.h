#pragma once

#include <cstdint>
#include <vector>

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// One nucleus. Lengths and areas are in pixels; the centre of the first pixel is (0, 0). Shape is measured
/// as scikit-image's regionprops does.
struct Nucleus {
  int label = 0;
  std::int64_t area = 0;
  double cx = 0, cy = 0;                  // centroid
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;     // bounding box [x0, x1) x [y0, y1)
  double perimeter = 0;                   // Benkrid & Crookes (2000)
  double major_axis = 0, minor_axis = 0;  // of the ellipse with the same second moments, whole lengths
  double eccentricity = 0;                // of that ellipse: 0 is a circle
  double orientation = 0;  // degrees from the x axis to the major axis, counterclockwise as seen, (-90, 90]
  double solidity = 0;     // area / pixels in the convex hull
  /// Mean of the channels, on the file's scale. Holes are left out; where all pixels are holes it is NaN.
  double mean_intensity = 0, min_intensity = 0, max_intensity = 0, std_intensity = 0, total_intensity = 0;
};

/// Measures every label that occurs, in ascending order. Throws Failure if the sizes disagree.
std::vector<Nucleus> measure(const LabelMap& map, const Image& image);

/// The same for pixels [map.height, map.width, channels] of an image with this header.
std::vector<Nucleus> measure(const LabelMap& map, const Image& header, const float* pixels);

/// Takes away the nuclei whose pixels are all holes: nothing was seen of them.
void drop_unseen(LabelMap& map, int channels, const float* pixels);

}  // namespace nuclei
