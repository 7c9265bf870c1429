#pragma once

#include <cstdint>
#include <vector>

#include "image.h"

namespace nuclei {

/// Which nucleus each pixel belongs to: 0 is background, 1, 2, ... are nuclei; [height * width].
struct LabelMap {
  int width = 0;
  int height = 0;
  std::vector<std::int32_t> labels;

  bool operator==(const LabelMap&) const = default;
};

/// The highest label in the map, which is the number of nuclei when labels are dense.
std::int32_t max_label(const LabelMap& map);

struct ComponentOptions {
  float threshold = 0.5f;   // a pixel is nucleus when its probability is above this
  int min_area = 16;        // smaller components are dropped as specks, pixels
  bool fill_holes = true;   // close holes inside a nucleus ...
  int max_hole_area = 100;  // ... up to this area: a larger one is background ringed by nuclei
};

/// Separates nuclei: the 4-connected components of `probability > threshold`. Nuclei that meet only
/// at a corner stay apart; holes are accordingly 8-connected and never reach the image edge.
///   probability  [height * width]
///   returns      labels 1..k without gaps, in scan order of their first pixel
/// Time is linear in the pixels. Throws Failure if the sizes disagree.
LabelMap label_components(const std::vector<float>& probability, int width, int height,
                          const ComponentOptions& options = {});

/// Opens a gap between touching nuclei: a pixel with a 4-neighbour of another nucleus becomes
/// background. Trained on the result, a network learns to keep neighbours apart.
LabelMap separate_touching(const LabelMap& map);

/// Undoes separate_touching on a prediction: a background pixel beside one nucleus and within two
/// steps of another goes to the one beside it. Nuclei further apart stay as they are.
LabelMap close_gaps(const LabelMap& map);

struct BorderWeightOptions {
  double w0 = 10;    // weight added in the middle of the narrowest gap
  double sigma = 5;  // how fast it decays with the width of the gap, pixels
};

/// Per-pixel loss weights that stress the gaps between close nuclei (Ronneberger et al. 2015):
///   1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on background, 1 on nuclei; [height * width]
/// where d1 and d2 are the Euclidean distances to the nearest pixels of the nearest and the second
/// nearest nucleus. Exact up to additions below 1e-4, which are left out.
/// Throws Failure unless w0 >= 0 and sigma > 0.
std::vector<float> border_weights(const LabelMap& map, const BorderWeightOptions& options = {});

}  // namespace nuclei
