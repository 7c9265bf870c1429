#pragma once

#include <cstddef>

#include "imageio/source.h"

namespace nuclei {

/// Brightness (mean of the channels) of a picture below which 0.5, 50 and 99.5 % of its pixels lie. In a
/// nearly empty picture the outer two are only noise of the background: then a quarter of the range of all
/// but the most extreme 0.1 % of the pixels lies between the end of that range and the level.
struct Levels {
  float low, middle, high;
  bool light_background() const { return middle - low > high - middle; }
};
Levels find_levels(ImageSource& source);
Levels find_levels(const Image& image);

/// normalize() for some of a picture's pixels, given the levels of all of it.
///   pixels   [count, channels]
///   out      [count, 3]
void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out);

/// Brings every microscope to one look: three channels, find_levels() at 0 and 1, and light
/// on dark: pictures with a light background are inverted.
///   returns  3 channels, values a little beyond [0, 1] at most
Raster<float> normalize(const Image& image);
Raster<float> normalize(const Image& image, const Levels& levels);

}  // namespace nuclei
