#pragma once

#include <cstddef>
#include <cstdint>

#include "imageio/image_source.h"

namespace nuclei {

/// The brightness (mean of the channels) below which 0.5, 50 and 99.5 % of a picture's pixels lie. In a
/// nearly empty picture the outer two would both be noise of the background. So at least a quarter of the
/// picture's range, without the most extreme 0.1 % of its pixels, lies between `low` and its upper end, and
/// between its lower end and `high`. Holes do not count.
struct Levels {
  float low, middle, high;
  float range;  // high - low, but at least five steps of the file's values: a flat picture stays flat
  std::int64_t holes = 0;  // pixels without a value
  bool light_background() const { return middle - low > high - middle; }
};
Levels find_levels(ImageSource& source);
Levels find_levels(const Image& image);

/// The same as below for some of a picture's pixels. Holes become background.
///   levels   of the whole picture
///   pixels   [count, channels]
///   out      [count, 3]
void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out);

/// Makes pictures of all microscopes look alike: three channels, `low` at 0, `high` at 1. A picture with a
/// light background is inverted.
///   returns  3 channels, values a little beyond [0, 1] at most
Raster<float> normalize(const Image& image);
Raster<float> normalize(const Image& image, const Levels& levels);

}  // namespace nuclei
