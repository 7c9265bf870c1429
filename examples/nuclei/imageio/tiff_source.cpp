#include "imageio/tiff_source.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "imageio/tiff_file.h"
#include "imageio/tiff_planes.h"
#include "imageio/tiff_rows.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr double largest_value = 1e38;  // differences of such values are floats

class TiffSource : public ImageSource {
 public:
  TiffSource(const fs::path& path, const ReadOptions& options) {
    TiffFile file(path);
    TiffPlane plane = choose_plane(file, options);
    layout_ = std::move(plane.layout);
    first_sample_ = plane.first_sample;
    note_ = std::move(plane.note);
    remark_ = std::move(plane.remark);
    header_.width = static_cast<int>(layout_.width);
    header_.height = static_cast<int>(layout_.height);
    header_.bit_depth = std::max<int>(layout_.bits, 8);
    header_.pixel_width = plane.pixel_width;
    header_.pixel_height = plane.pixel_height;
    header_.channels = plane.colour ? 3 : 1;
    if (!layout_.palette.empty() &&
        std::ranges::all_of(layout_.palette, [](const auto& p) { return p[0] == p[1] && p[1] == p[2]; }))
      header_.channels = 1;
    const bool planar = layout_.planar == PLANARCONFIG_SEPARATE;
    for (int c = 0; c < (planar ? header_.channels : 1); ++c)
      rows_.push_back(
          std::make_unique<TiffRows>(file.path(), plane.stored.directory, layout_, plane.stored.behind));
    set_scale();
  }

  void read(int y, int count, float* pixels) override {
    const std::size_t channels = header_.depth();
    const double scale = header_.scale, offset = header_.offset;
    for (int r = y; r < y + count; ++r, pixels += header_.row_size()) {
      if (!layout_.palette.empty()) {
        rows_[0]->row(r, 0, [&](std::size_t x, auto value) {
          const auto& colour = layout_.palette[static_cast<std::size_t>(value)];
          for (std::size_t c = 0; c < channels; ++c) pixels[x * channels + c] = colour[c];
        });
        continue;
      }
      for (std::size_t c = 0; c < channels; ++c) {
        rows_[std::min(c, rows_.size() - 1)]->row(
            r, first_sample_ + static_cast<int>(c), [&](std::size_t x, auto value) {
              auto v = static_cast<double>(value);
              if (!(std::abs(v) <= largest_value)) v = std::numeric_limits<double>::quiet_NaN();
              if (white_ > 0) v = white_ - v;
              // 8 and 16 bits divide as they do for PNG.
              pixels[x * channels + c] = static_cast<float>(v - offset) / static_cast<float>(scale);
            });
      }
    }
  }

  std::size_t held_bytes() const override {
    if (!layout_.tiled) return 0;
    const std::size_t across = (layout_.width + layout_.tile_width - 1) / layout_.tile_width;
    const std::size_t samples = layout_.planar == PLANARCONFIG_CONTIG ? layout_.samples : rows_.size();
    return across * layout_.tile_width * layout_.tile_height * samples *
           std::max<std::size_t>(layout_.bits, 8) / 8;
  }

 private:
  // Cameras fill 10 to 16 of the 16 bits, and floats have any scale. The scale therefore follows the
  // picture's values, without the few brightest pixels.
  void set_scale() {
    constexpr double bright = 0.999;
    header_.scale = 255;
    header_.integers = layout_.format != SAMPLEFORMAT_IEEEFP;
    if (!layout_.palette.empty()) return;
    const bool whole = layout_.format == SAMPLEFORMAT_UINT;
    if (whole && layout_.bits <= 8) {
      header_.scale = (1 << layout_.bits) - 1;
      if (layout_.photometric == PHOTOMETRIC_MINISWHITE) white_ = header_.scale;
      return;
    }
    if (whole && layout_.photometric == PHOTOMETRIC_MINISWHITE) white_ = std::ldexp(1.0, layout_.bits) - 1;
    header_.scale = 1;
    const std::vector<float> ends = brightness_quantiles(*this, {1 - bright, bright});
    const double low = std::isnan(ends[0]) ? 0 : ends[0], high = std::isnan(ends[1]) ? 1 : ends[1];
    if (whole) {
      header_.scale = 255;
      while (header_.scale < high) header_.scale = 2 * header_.scale + 1;
      return;
    }
    header_.offset = std::min(low, 0.0);
    if (header_.offset < 0 || high > 1) header_.scale = high > header_.offset ? high - header_.offset : 1;
  }

  TiffLayout layout_;
  std::vector<std::unique_ptr<TiffRows>> rows_;
  int first_sample_ = 0;
  double white_ = 0;  // the value of white where low values are light
};

}  // namespace

std::unique_ptr<ImageSource> open_tiff(const fs::path& path, const ReadOptions& options) {
  return std::make_unique<TiffSource>(path, options);
}

int page_count(const fs::path& path) {
  if (!is_tiff(path)) return 1;
  TiffFile file(path);
  return count_pages(file);
}

bool is_tiff(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  char start[4] = {};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(start, sizeof start)) return false;
  const bool little = start[0] == 'I' && start[1] == 'I', big = start[0] == 'M' && start[1] == 'M';
  const int version = little ? start[2] : start[3];
  return (little || big) && (little ? start[3] : start[2]) == 0 && (version == 42 || version == 43);
}

}  // namespace nuclei
