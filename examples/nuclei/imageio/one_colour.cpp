#include "imageio/one_colour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/text.h"

namespace nuclei {
namespace {

/// White of 8 bits, as scale bars and letters are drawn in.
bool is_white(const float* p) { return p[0] == 1 && p[1] == 1 && p[2] == 1; }

/// Calls visit(the three values of a pixel) for every pixel that has them and is not white, until it returns
/// false. Returns how many white ones it met.
template <class Visit>
std::int64_t for_each_pixel(ImageSource& source, const Visit& visit) {
  const Image& h = source.header();
  const int step = rows_at_once(h);
  Raster<float> rows(h.width, step, 3);
  std::int64_t white = 0;
  for (int y = 0; y < h.height; y += step) {
    const int count = std::min(step, h.height - y);
    source.read(y, count, rows.values.data());
    for (const float* p = rows.row(0); p != rows.row(count); p += 3) {
      if (is_white(p)) {
        ++white;
      } else if (std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]) && !visit(p)) {
        return white;
      }
    }
  }
  return white;
}

/// How many values lie in each step of 1/16 octave, to find what few of them exceed.
class BrightEnd {
 public:
  void add(float value) {
    ++count_;
    if (value > 0) ++counts_[step_of(value)];
  }
  /// About the value above which this share of all values lies.
  double above(double share) const {
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::size_t step = counts_.size() - 1;
    while (step > 0 && counts_[step] <= left) left -= counts_[step--];
    return step == 0 ? 0 : std::exp2((static_cast<double>(step) - middle) / per_octave);
  }

 private:
  static constexpr int per_octave = 16, middle = 512;
  static std::size_t step_of(float value) {
    return static_cast<std::size_t>(
        std::clamp(std::lround(std::log2(value) * per_octave) + middle, 1L, 1023L));
  }
  std::uint64_t count_ = 0;
  std::array<std::uint64_t, 1024> counts_{};
};

/// A line through the pixels of a picture.
struct Hue {
  std::size_t channel = 0;                        // that is lit most
  std::array<double, 3> base{};                   // where the line begins
  std::array<double, 3> colour{};                 // of the line; 1 in that channel
  double brightest = 0, darkest = 0, middle = 0;  // that channel, without the most extreme pixels
  std::array<double, 3> dark{};                   // each channel's darkest value
  std::int64_t white = 0;                         // how many pixels are
};

/// The line from `base` that fits the picture's pixels best, the bright ones above all.
Hue fit_hue(ImageSource& source, const std::array<double, 3>& base = {}) {
  std::array<std::array<double, 3>, 3> products{};
  std::array<BrightEnd, 3> ends;
  const std::int64_t white = for_each_pixel(source, [&](const float* p) {
    for (std::size_t a = 0; a < 3; ++a) {
      for (std::size_t b = 0; b < 3; ++b) products[a][b] += (p[a] - base[a]) * (p[b] - base[b]);
      ends[a].add(p[a]);
    }
    return true;
  });
  Hue hue{.base = base, .white = white};
  for (std::size_t c = 1; c < 3; ++c)
    if (products[c][c] > products[hue.channel][hue.channel]) hue.channel = c;
  if (!(products[hue.channel][hue.channel] > 0)) return hue;
  for (std::size_t c = 0; c < 3; ++c)
    hue.colour[c] = products[c][hue.channel] / products[hue.channel][hue.channel];
  hue.brightest = ends[hue.channel].above(0.001);
  for (std::size_t c = 0; c < 3; ++c) hue.dark[c] = ends[c].above(0.99);
  hue.darkest = hue.dark[hue.channel];
  hue.middle = ends[hue.channel].above(0.5);
  return hue;
}

constexpr double pure = 0.05;

/// Whether the line is a colour on black. Stained tissue has a light background and pale hues.
bool is_colourful(const Hue& hue) {
  constexpr double pale = 0.5, dark = 0.35;
  const double least = std::ranges::min(hue.colour);
  return hue.brightest > 0 && (least < pure || (least <= pale && hue.darkest <= dark * hue.brightest));
}

bool has_dark_background(const Hue& hue) { return hue.middle - hue.darkest < hue.brightest - hue.middle; }

/// Whether only one or two channels are lit. The others hold the same everywhere, a camera's offset.
bool is_lit_in_part(const Hue& hue) { return std::abs(std::ranges::min(hue.colour)) < pure; }

/// Whether nearly all pixels lie near the line, and hardly any far from it. A JPEG of quality 50 puts 0.25 %
/// of them off the line, a second dye of a quarter of the brightness 0.3 % and more.
bool fits(ImageSource& source, const Hue& hue) {
  constexpr double near = 0.15, far = 0.3;            // of the brightest
  constexpr double near_levels = 8, far_levels = 12;  // a JPEG's noise does not fall with the brightness
  constexpr double most_off = 0.003, most_far = 0.0001, most_white = 0.02;
  const Image& h = source.header();
  const double level = h.integers ? 1 / h.scale : 0, pixels = pixel_count(h.width, h.height);
  if (static_cast<double>(hue.white) > most_white * pixels) return false;
  const double brightest = hue.brightest - hue.base[hue.channel];
  const double off_line = std::max(near * brightest, near_levels * level),
               far_off = std::max(far * brightest, far_levels * level);
  double off = 0, far_away = 0;
  for_each_pixel(source, [&](const float* p) {
    double distance = 0;
    const double lit = p[hue.channel] - hue.base[hue.channel];
    for (std::size_t c = 0; c < 3; ++c)
      distance = std::max(distance, std::abs(p[c] - hue.base[c] - hue.colour[c] * lit));
    off += distance > off_line;
    far_away += distance > far_off;
    return off <= most_off * pixels && far_away <= most_far * pixels;
  });
  return off <= most_off * pixels && far_away <= most_far * pixels;
}

const char* name_of(const std::array<double, 3>& colour) {
  static constexpr std::array names{"red",  "orange", "yellow", "green",  "green",   "green",
                                    "cyan", "blue",   "blue",   "violet", "magenta", "red"};
  const auto [low, high] = std::ranges::minmax(colour);
  const auto& [r, g, b] = colour;
  const double sector = r == high   ? (g - b) / (high - low)
                        : g == high ? 2 + (b - r) / (high - low)
                                    : 4 + (r - g) / (high - low);
  return names[static_cast<std::size_t>(std::lround(2 * sector) + 12) % 12];  // by 30 degrees of hue
}

class OneChannel : public ImageSource {
 public:
  OneChannel(std::unique_ptr<ImageSource> colour, const Hue& hue)
      : colour_(std::move(colour)), channel_(hue.channel) {
    header_ = colour_->header();
    header_.channels = 1;
    note_ = colour_->note();
    remark_ = colour_->remark();
    append_part(note_, ", ", std::string("one channel in ") + name_of(hue.colour) + ": read as one channel");
  }
  void read(int y, int count, float* pixels) override {
    const int step = rows_at_once(colour_->header());
    rows_.resize(static_cast<std::size_t>(step) * colour_->header().row_size());
    for (int end = y + count; y < end; y += step) {
      const int some = std::min(step, end - y);
      colour_->read(y, some, rows_.data());
      const float* p = rows_.data() + channel_;
      for (std::size_t i = pixel_count(header_.width, some); i > 0; --i, p += 3) *pixels++ = *p;
    }
  }
  std::size_t held_bytes() const override { return colour_->held_bytes(); }

 private:
  std::unique_ptr<ImageSource> colour_;
  std::size_t channel_;
  std::vector<float> rows_;
};

}  // namespace

std::unique_ptr<ImageSource> in_one_channel(std::unique_ptr<ImageSource> source) {
  if (source->header().channels != 3) return source;
  Hue hue = fit_hue(*source);
  bool one = is_colourful(hue) && fits(*source, hue);
  if (!one && has_dark_background(hue)) {
    hue = fit_hue(*source, hue.dark);
    one = is_lit_in_part(hue) && fits(*source, hue);
  }
  if (!one) return source;
  return std::make_unique<OneChannel>(std::move(source), hue);
}

}  // namespace nuclei
