#pragma once

#include <filesystem>
#include <memory>

#include "imageio/image_source.h"

namespace nuclei {

/// A TIFF file: 1 to 32 bit integers and 16 to 64 bit floats, strips or tiles, any compression that libtiff
/// knows, BigTIFF, interleaved or planar, palettes, grey either way round; channels as samples or, as
/// OME-TIFF and ImageJ have them, as pages. Throws Failure if it is missing, damaged, cut short or of another
/// kind.
std::unique_ptr<ImageSource> open_tiff(const std::filesystem::path& path, const ReadOptions& options);

/// How many pictures (slices, time points, positions) a TIFF file holds; 1 for other files.
int page_count(const std::filesystem::path& path);

/// Whether the file starts as a TIFF does. False for a file that cannot be opened.
bool is_tiff(const std::filesystem::path& path);

}  // namespace nuclei
