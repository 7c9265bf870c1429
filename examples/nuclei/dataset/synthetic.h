#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "dataset/bowl.h"

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

/// Writes examples in the layout that scan_bowl reads, pictures as RGBA PNG like the original data.
/// Creates `root`. Throws Failure if a file cannot be written, or a folder of an example exists
/// already: its masks would mix with those of before.
void write_bowl(const std::filesystem::path& root, std::span<const Example> examples);

}  // namespace nuclei
