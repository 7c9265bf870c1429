#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

namespace nuclei {

/// Independent smooth random functions of the place in a crop. They interpolate normal random numbers (mean
/// 0, standard deviation 1) at the knots of a coarse grid.
class SmoothNoise {
 public:
  SmoothNoise(std::int64_t crop, std::size_t knots, std::size_t functions, karyon::Generator& generator);
  /// The function at (x, y). Places outside the crop are reflected back into it.
  double operator()(double x, double y, std::size_t function = 0) const;

 private:
  std::size_t knots_, functions_;
  double per_pixel_;
  std::vector<float> values_;
};

/// Where crop pixel (x, y) lies in its picture: (x0 + xx x + xy y, y0 + yx x + yy y).
struct Placement {
  double x0, y0, xx, xy, yx, yy;
};

/// A crop of a picture, turned, mirrored and scaled at random.
///   grey   the picture is not of stained tissue; scales vary less
///   scale  its pixels per crop pixel, around which scales vary
Placement random_placement(int width, int height, bool grey, double scale, std::int64_t crop,
                           karyon::Generator& generator);

/// Changes light and colours as other microscopes, stains and cameras would.
///   rgb   [crop, crop, 3] as normalize() gives it, changed in place
///   grey  the three channels are equal, and stay so
void relight(float* rgb, std::int64_t crop, bool grey, karyon::Generator& generator);

}  // namespace nuclei
