#include "imageio/sample_source.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace nuclei {
namespace {

constexpr double largest_value = 1e38;  // differences of such values are floats
constexpr float hole = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void set_palette(SampleFormat& format, Palette palette) {
  const PaletteKind kind = kind_of(palette);
  format.white_is_zero = kind == PaletteKind::falling_lookup;
  if (kind == PaletteKind::colours) format.palette = std::move(palette);
}

void SampleSource::read(int y, int count, float* pixels) {
  const std::size_t channels = header_.depth(), width = row_.size();
  const auto scale = static_cast<float>(scale_);
  for (int r = y; r < y + count; ++r, pixels += header_.row_size()) {
    if (!format_.palette.empty()) {
      stored(r, 0, row_.data());
      for (std::size_t x = 0; x < width; ++x) {
        const auto& colour = format_.palette[static_cast<std::size_t>(row_[x])];
        for (std::size_t c = 0; c < channels; ++c) pixels[x * channels + c] = colour[c];
      }
      continue;
    }
    for (std::size_t c = 0; c < channels; ++c) {
      stored(r, static_cast<int>(c), row_.data());
      for (std::size_t x = 0; x < width; ++x) {
        const double v = format_.white_is_zero ? white_ - row_[x] : row_[x];
        pixels[x * channels + c] =
            std::abs(v) <= largest_value ? static_cast<float>(v - offset_) / scale : hole;
      }
    }
  }
}

void SampleSource::set_format(SampleFormat format) {
  format_ = std::move(format);
  header_.width = format_.width;
  header_.height = format_.height;
  header_.bit_depth = std::max(format_.bits, 8);
  header_.channels = format_.channels;
  header_.integers = format_.kind != SampleFormat::Kind::real;
  header_.scale = 255;
  row_.resize(static_cast<std::size_t>(format_.width));
  if (!format_.palette.empty()) {
    header_.channels = is_grey(format_.palette) ? 1 : 3;
    format_.palette.resize(std::max<std::size_t>(format_.palette.size(), 256));
    return;
  }
  set_scale();
  header_.scale = format_.white_is_zero ? -scale_ : scale_;
  header_.offset = format_.white_is_zero ? white_ - offset_ : offset_;
}

// Cameras fill 10 to 16 of the 16 bits, and floats have any scale. The scale therefore follows the picture's
// values, without the few brightest pixels.
void SampleSource::set_scale() {
  constexpr double bright = 0.999, faint = 1.0 / 16, faintest = 1e-30;
  const bool natural = format_.kind == SampleFormat::Kind::natural;
  if (natural && format_.bits <= 8) {
    white_ = scale_ = std::ldexp(1.0, format_.bits) - 1;
    return;
  }
  const bool inverted = std::exchange(format_.white_is_zero, false);
  const std::vector<float> ends = brightness_quantiles(*this, {1 - bright, bright});
  const double low = std::isnan(ends[0]) ? 0 : ends[0], high = std::isnan(ends[1]) ? 1 : ends[1];
  if (natural) {
    scale_ = 255;
    while (scale_ < high) scale_ = 2 * scale_ + 1;
    white_ = scale_;
    format_.white_is_zero = inverted;
    return;
  }
  offset_ = std::min(low, 0.0);
  if (offset_ < 0 || high > 1) {
    scale_ = high > offset_ ? high - offset_ : 1;
  } else if (high > faintest && high < faint) {
    while (scale_ / 2 >= high) scale_ /= 2;
  }
}

}  // namespace nuclei
