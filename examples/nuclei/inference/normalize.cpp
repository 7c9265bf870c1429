#include "inference/normalize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace nuclei {
namespace {

// The levels of a picture are computed from the values below which these shares of its pixels lie. Where
// nuclei cover less than half a percent, the value half a percent from the end is background and its noise.
// The most extreme few pixels tell the two cases apart.
constexpr std::array level_shares{0.0005, 0.005, 0.5, 0.995, 0.9995};

}  // namespace

Levels find_levels(ImageSource& source) {
  constexpr double least_steps = 5.1;  // between black and white; noise below that is not stretched
  Levels levels{};
  const std::vector<float> q =
      brightness_quantiles(source, {level_shares.begin(), level_shares.end()}, &levels.holes);
  const float least = (q[4] - q[0]) / 4;
  levels.low = std::min(q[1], q[4] - least);
  levels.middle = q[2];
  levels.high = std::max(q[3], q[0] + least);
  // A step is a grey level, or the smallest difference between floats of this size.
  const double size =
      std::max({std::abs(levels.low), std::abs(levels.high), std::numeric_limits<float>::min()});
  const double step = source.header().integers ? 1 / std::abs(source.header().scale)
                                               : size * std::numeric_limits<float>::epsilon();
  levels.range = std::max(levels.high - levels.low, static_cast<float>(least_steps * step));
  if (levels.range > levels.high - levels.low && levels.light_background())
    levels.low = levels.high - levels.range;  // the background stays light
  return levels;
}

Levels find_levels(const Image& image) {
  ImageRows rows(image);
  return find_levels(rows);
}

void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out) {
  const float low = levels.low, range = levels.range;
  constexpr float background = 0;
  const bool light_background = levels.light_background();
  for (std::size_t i = 0; i < count; ++i) {
    const float* p = pixels + i * static_cast<std::size_t>(channels);
    for (std::size_t c = 0; c < 3; ++c) {
      const float value = p[channels == 3 ? c : 0], v = (value - low) / range;
      out[3 * i + c] =
          std::isfinite(value) ? std::clamp(light_background ? 1 - v : v, -0.25f, 1.5f) : background;
    }
  }
}

Raster<float> normalize(const Image& image) { return normalize(image, find_levels(image)); }

Raster<float> normalize(const Image& image, const Levels& levels) {
  Raster<float> out(image.width, image.height, 3);
  normalize(image.values.data(), image.pixels(), image.channels, levels, out.values.data());
  return out;
}

}  // namespace nuclei
