#include "inference/normalize.h"

#include <algorithm>
#include <array>

namespace nuclei {
namespace {

// The levels of a picture are computed from the values below which these shares of its pixels lie. Where
// nuclei cover less than half a percent, the value half a percent from the end is background and its noise.
// The most extreme few pixels tell the two cases apart.
constexpr std::array level_shares{0.0005, 0.005, 0.5, 0.995, 0.9995};

/// A picture in memory, read like one in a file.
class ImageRows : public ImageSource {
 public:
  explicit ImageRows(const Image& image) : image_(image) {
    header_.width = image.width;
    header_.height = image.height;
    header_.channels = image.channels;
  }
  void read(int y, int count, float* pixels) override {
    std::copy(image_.row(y), image_.row(y + count), pixels);
  }
  std::size_t held_bytes() const override { return 0; }

 private:
  const Image& image_;
};

}  // namespace

Levels find_levels(ImageSource& source) {
  const std::vector<float> q = brightness_quantiles(source, {level_shares.begin(), level_shares.end()});
  const float least = (q[4] - q[0]) / 4;
  return {std::min(q[1], q[4] - least), q[2], std::max(q[3], q[0] + least)};
}

Levels find_levels(const Image& image) {
  ImageRows rows(image);
  return find_levels(rows);
}

void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out) {
  // A nearly flat picture is not stretched into noise.
  const float low = levels.low, range = std::max(levels.high - low, 0.02f);
  const bool light_background = levels.light_background();
  for (std::size_t i = 0; i < count; ++i) {
    const float* p = pixels + i * static_cast<std::size_t>(channels);
    for (std::size_t c = 0; c < 3; ++c) {
      const float v = (p[channels == 3 ? c : 0] - low) / range;
      out[3 * i + c] = std::clamp(light_background ? 1 - v : v, -0.25f, 1.5f);
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
