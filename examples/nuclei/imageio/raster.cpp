#include "imageio/raster.h"

#include "common/error.h"

namespace nuclei {

std::string size_text(std::int64_t width, std::int64_t height) {
  return std::to_string(width) + " x " + std::to_string(height);
}

void check_value_count(int width, int height, int channels, std::size_t got) {
  if (width >= 0 && height >= 0 && channels >= 1 &&
      got == pixel_count(width, height) * static_cast<std::size_t>(channels))
    return;
  throw Failure("expected " + std::to_string(channels) + " values for each of " + size_text(width, height) +
                " pixels, got " + std::to_string(got) + " in all");
}

}  // namespace nuclei
