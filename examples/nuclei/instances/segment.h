#pragma once

#include <cstdint>
#include <vector>

#include "imageio/image.h"

namespace nuclei {

/// Which nucleus each pixel belongs to: 0 is background, 1, 2, ... are nuclei; one channel.
using LabelMap = Raster<std::int32_t>;

/// The highest label in the map, which is the number of nuclei when labels are dense.
std::int32_t max_label(const LabelMap& map);

/// One value per label, also for the background, whose label is 0.
template <class T>
class PerLabel {
 public:
  PerLabel() = default;
  explicit PerLabel(std::int32_t highest, T value = {})
      : values_(static_cast<std::size_t>(highest) + 1, value) {}

  T& operator[](std::int32_t label) { return values_[static_cast<std::size_t>(label)]; }
  const T& operator[](std::int32_t label) const { return values_[static_cast<std::size_t>(label)]; }
  std::int32_t highest() const { return static_cast<std::int32_t>(values_.size()) - 1; }
  void push_back(T value) { values_.push_back(value); }
  auto begin() { return values_.begin(); }
  auto end() { return values_.end(); }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }

 private:
  std::vector<T> values_;
};

/// How many pixels have each label.
PerLabel<std::int64_t> label_areas(const LabelMap& map);

struct ComponentOptions {
  float threshold = 0.5f;   // a pixel is nucleus when its probability is above this
  int min_area = 16;        // smaller components are dropped as specks, pixels
  bool fill_holes = true;   // close holes inside a nucleus ...
  int max_hole_area = 100;  // ... up to this area: a larger one is background ringed by nuclei
};

/// Separates nuclei: the 4-connected components of `probability > threshold`. Nuclei that meet only
/// at a corner stay apart; holes are accordingly 8-connected and never reach the image edge.
///   returns  labels 1..k without gaps, in scan order of their first pixel
/// Time is linear in the pixels.
LabelMap label_components(const Raster<float>& probability, const ComponentOptions& options = {});

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

/// What the network says of each pixel of a picture, as probabilities.
using PixelMaps = Raster<float>;

/// The channels of PixelMaps, which are those that the network has.
inline constexpr int nucleus_map = 0;  // inside a nucleus
inline constexpr int border_map = 1;   // where two nuclei meet (contact_borders)
inline constexpr int depth_map = 2;    // how deep inside (depth_inside)
inline constexpr int map_count = 3;

/// Thresholds of segment(), tuned on validation images and kept in the model's file.
struct SegmentOptions {
  float nucleus = 0.5f;      // a pixel is nucleus when its probability is above this
  float prominence = 0.15f;  // how far a nucleus rises above where it meets a higher one; less is one nucleus
  int min_area = 24;         // smaller nuclei are dropped as specks, pixels
};

/// Single nuclei out of the network's maps: a watershed over the pixels of nuclei. The height of a pixel is
/// the mean of its depth and of nucleus (1 - border), smoothed a little; every peak is a nucleus that rises
/// `prominence` above its neighbours' (Grimaud 1992, dynamics). Holes in one nucleus are filled.
///   returns  labels 1..k without gaps, in scan order of their first pixel
/// Throws Failure if the maps have other channels.
LabelMap segment(const PixelMaps& maps, const SegmentOptions& options = {});

}  // namespace nuclei
