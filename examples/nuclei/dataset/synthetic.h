#pragma once

#include <cstdint>

#include "dataset/bowl_layout.h"

namespace nuclei {

enum class Style {
  fluorescence,  // grey: bright nuclei on a dark, noisy, unevenly lit background
  stained,       // colour: purple nuclei in pink tissue
  mixed,         // one of the two by the seed, three in ten stained
};

/// Draws a picture with known nuclei for trying things out without data: lumpy, textured, some
/// touching, some cut by the image edge. Values are multiples of 1/255, so nothing is lost in a
/// PNG.
///   width, height  pixels, at least 32 each
///   returns        id "synthetic-<seed, 5 digits>", labels 1..n without gaps
/// Depends on the arguments only, not on the standard library at hand. Throws Failure on a size
/// below 32 or above max_pixels.
Example make_synthetic(std::uint64_t seed, int width, int height, Style style = Style::mixed);

}  // namespace nuclei
