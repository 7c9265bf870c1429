#pragma once

#include "instances/label_map.h"

namespace nuclei {

/// What the network says of each pixel of a picture, as probabilities.
using PixelMaps = Raster<float>;

/// The channels of PixelMaps, in the order of the network's outputs.
inline constexpr int nucleus_map = 0;  // inside a nucleus
inline constexpr int border_map = 1;   // where two nuclei meet (contact_borders)
inline constexpr int depth_map = 2;    // how deep inside (depth_inside)
inline constexpr int map_count = 3;

/// Thresholds of segment() and drop_fragments(), tuned on validation images and kept in the model's file.
struct SegmentOptions {
  float nucleus = 0.5f;      // a pixel is nucleus when its probability is above this
  float prominence = 0.15f;  // a peak that rises less above its border to a higher one is no own nucleus
  int min_area = 24;         // smaller nuclei are dropped as specks, pixels
  float fragment = 0;        // smaller ones inside the picture are dropped, as a share of the typical area
};

/// Separates nuclei by a watershed over the pixels of nuclei. The height of a pixel is the mean of its depth
/// and of nucleus (1 - border), smoothed a little. A peak is a nucleus if it rises `prominence` above its
/// borders to higher ones (the dynamics of Grimaud 1992). Holes in one nucleus are filled.
///   returns  labels 1..k without gaps, in scan order of their first pixel
/// Throws Failure if the maps have other channels.
LabelMap segment(const PixelMaps& maps, const SegmentOptions& options = {});

}  // namespace nuclei
