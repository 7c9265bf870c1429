#pragma once

#include <array>
#include <span>
#include <vector>

namespace nuclei {

/// Colours by index, red, green and blue in [0, 1].
using Palette = std::vector<std::array<float, 3>>;

/// What a palette is for.
enum class PaletteKind {
  colours,        // of a picture in colour: its indices mean nothing
  rising_lookup,  // a look-up table, which shows brightness in colour: the indices are the picture
  falling_lookup  // the same, and low indices are light
};

/// Tells look-up tables from palettes of colour pictures. A table is a smooth way through the colours, or
/// steps of grey in order. The colours of a picture that was reduced to a palette lie far apart.
///   palette  the colours that the file has, without padding
PaletteKind kind_of(std::span<const std::array<float, 3>> palette);

/// Whether all colours are greys.
bool is_grey(std::span<const std::array<float, 3>> palette);

}  // namespace nuclei
