#include "imageio/palette.h"

#include <algorithm>
#include <cmath>

namespace nuclei {
namespace {

using Colour = std::array<float, 3>;

double luminance(const Colour& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

double distance(const Colour& a, const Colour& b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/// Whether luminance only goes up, or only down, apart from small steps back.
bool is_monotone(std::span<const Colour> palette) {
  double up = 0, down = 0;
  for (std::size_t i = 1; i < palette.size(); ++i) {
    const double step = luminance(palette[i]) - luminance(palette[i - 1]);
    (step > 0 ? up : down) += std::abs(step);
  }
  constexpr double tolerated = 0.02;
  return std::min(up, down) <= tolerated * std::max(up, down);
}

}  // namespace

bool is_grey(std::span<const Colour> palette) {
  return std::ranges::all_of(palette, [](const Colour& c) { return c[0] == c[1] && c[1] == c[2]; });
}

// The thresholds, with colours as points of a cube of side 1. Look-up tables have 256 entries. The longest
// usual ones, rainbows, go along six of the cube's edges; 256 colours of a picture in any order go a way of
// 20 and more. Tables of a few entries cannot be told from the palettes of drawings.
PaletteKind kind_of(std::span<const Colour> palette) {
  constexpr double longest_way = 8, longest_short_way = 4, falls = 0.5;
  constexpr std::size_t whole = 256, most = 128, fewest = 32, fewest_steps = 15;
  double way = 0;
  std::size_t steps = 0, behind_last = 0;  // behind the last colour that differs from the one before
  for (std::size_t i = 1; i < palette.size(); ++i) {
    if (palette[i] == palette[i - 1]) continue;
    way += distance(palette[i], palette[i - 1]);
    ++steps;
    behind_last = i + 1;
  }
  if (steps < fewest_steps) return PaletteKind::colours;
  const std::span<const Colour> used = palette.first(behind_last);
  // Greys in fewer steps are those of the picture, which some program has counted.
  const bool lookup = is_grey(palette) ? palette.size() == whole && is_monotone(palette)
                      : used.size() >= most
                          ? way <= longest_way
                          : used.size() >= fewest && way <= longest_short_way && is_monotone(used);
  if (!lookup) return PaletteKind::colours;
  return luminance(used.front()) - luminance(used.back()) > falls ? PaletteKind::falling_lookup
                                                                  : PaletteKind::rising_lookup;
}

}  // namespace nuclei
