#include "output/render.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "common/error.h"
#include "common/quantile.h"

namespace nuclei {
namespace {

using Color = std::array<std::uint8_t, 3>;

// The colours differ much from each other and from the usual background. Outlines run inside the nuclei,
// which are dark in a light image. They are therefore bright in both palettes, and without pink on stained
// tissue.
constexpr std::array<Color, 6> on_dark{
    {{255, 225, 25}, {0, 230, 255}, {255, 90, 200}, {110, 255, 70}, {255, 140, 0}, {130, 160, 255}}};
constexpr std::array<Color, 5> on_light{
    {{255, 230, 0}, {0, 240, 255}, {60, 255, 60}, {255, 120, 0}, {255, 20, 60}}};

/// One stretch for all channels, so that colours keep their hue.
struct Stretch {
  float low = 0, scale = 1, gamma = 1;

  std::uint8_t operator()(float value) const {
    if (!std::isfinite(value)) return is_light() ? 255 : 0;  // a hole is background
    const float linear = std::clamp((value - low) * scale, 0.0f, 1.0f);
    return static_cast<std::uint8_t>(std::pow(linear, gamma) * 255 + 0.5f);
  }
  bool is_light() const { return gamma == 1; }
};

Stretch find_stretch(const Image& image) {
  constexpr float dark_gamma = 0.65f;  // shows dim nuclei beside bright ones
  std::vector<float> values = image.values;
  std::erase_if(values, [](float v) { return !std::isfinite(v); });
  if (values.empty()) return {};
  const float low = quantile(values, 0.005), middle = quantile(values, 0.5), high = quantile(values, 0.998);
  if (high <= low) return {};
  return {low, 1 / (high - low), (middle - low) / (high - low) > 0.4f ? 1 : dark_gamma};
}

Picture stretched(const Image& image, const Stretch& stretch) {
  Picture picture(image.width, image.height, 3);
  for (std::size_t i = 0; i < image.pixels(); ++i)
    for (std::size_t c = 0; c < 3; ++c)
      picture.pixel(i)[c] = stretch(image.pixel(i)[std::min(c, image.depth() - 1)]);
  return picture;
}

/// Calls visit(pixel, label) for the pixels of each nucleus within `thickness` steps of its border.
/// The image edge is no border: the nucleus goes on behind it.
template <class Visit>
void for_each_outline_pixel(const LabelMap& map, int thickness, const Visit& visit) {
  const auto label_at = [&](int x, int y) {
    return map.at(std::clamp(x, 0, map.width - 1), std::clamp(y, 0, map.height - 1));
  };
  for (int y = 0; y < map.height; ++y) {
    for (int x = 0; x < map.width; ++x) {
      const std::int32_t label = map.at(x, y);
      if (label == 0) continue;
      bool outline = false;
      for (int d = 1; d <= thickness && !outline; ++d) {
        outline = label_at(x - d, y) != label || label_at(x + d, y) != label || label_at(x, y - d) != label ||
                  label_at(x, y + d) != label;
      }
      if (outline) visit(map.index(x, y), label);
    }
  }
}

/// A palette index per label such that nuclei within a few pixels differ, as long as the palette
/// lasts: each takes, in order, the colour least used around it.
PerLabel<std::size_t> choose_colors(const LabelMap& map, std::size_t palette_size) {
  constexpr int near = 4;
  PerLabel<std::vector<std::int32_t>> earlier(max_label(map));
  const auto meet = [&](std::int32_t a, std::int32_t b) {
    if (a == 0 || b == 0 || a == b) return;
    auto& known = earlier[std::max(a, b)];
    if (std::ranges::find(known, std::min(a, b)) == known.end()) known.push_back(std::min(a, b));
  };
  const std::size_t width = map.row_size();
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (map[i] == 0) continue;
    for (std::size_t d = 1; d <= near; ++d) {
      if (i % width + d < width) meet(map[i], map[i + d]);
      if (i + d * width < map.size()) meet(map[i], map[i + d * width]);
    }
  }
  PerLabel<std::size_t> color(earlier.highest());
  for (std::int32_t label = 1; label <= color.highest(); ++label) {
    std::vector<int> uses(palette_size);
    for (const std::int32_t other : earlier[label]) ++uses[color[other]];
    // Each label starts at another colour, so that nuclei without neighbours show the whole palette.
    const std::size_t start = static_cast<std::size_t>(label) % uses.size();
    std::size_t best = start;
    for (std::size_t k = 1; k < uses.size(); ++k) {
      const std::size_t candidate = (start + k) % uses.size();
      if (uses[candidate] < uses[best]) best = candidate;
    }
    color[label] = best;
  }
  return color;
}

void check_size(const Image& image, const LabelMap& map) {
  if (!image.empty() && map.same_size(image)) return;
  throw Failure("drawing outlines: expected labels for the " + size_text(image) +
                " pixels of the image, got " + size_text(map));
}

}  // namespace

Picture overlay(const Image& image, const LabelMap& labels, const LabelMap* truth) {
  check_size(image, labels);
  if (truth) check_size(image, *truth);
  const Stretch stretch = find_stretch(image);
  Picture picture = stretched(image, stretch);
  const auto paint = [&](std::size_t pixel, const Color& color) {
    std::ranges::copy(color, picture.pixel(pixel));
  };
  const int thickness = std::max(image.width, image.height) > 512 ? 2 : 1;
  if (!truth) {
    const std::span<const Color> palette =
        stretch.is_light() ? std::span<const Color>(on_light) : std::span<const Color>(on_dark);
    const PerLabel<std::size_t> colors = choose_colors(labels, palette.size());
    for_each_outline_pixel(labels, thickness, [&](std::size_t pixel, std::int32_t label) {
      paint(pixel, palette[colors[label]]);
    });
    return picture;
  }

  constexpr Color green{0, 255, 60}, red{255, 40, 50}, yellow{255, 225, 0};
  std::vector<bool> is_true(labels.size());
  for_each_outline_pixel(*truth, thickness, [&](std::size_t pixel, std::int32_t) {
    is_true[pixel] = true;
    paint(pixel, green);
  });
  for_each_outline_pixel(labels, thickness, [&](std::size_t pixel, std::int32_t) {
    paint(pixel, is_true[pixel] ? yellow : red);
  });
  return picture;
}

}  // namespace nuclei
