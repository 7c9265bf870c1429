#pragma once

#include <filesystem>
#include <memory>

#include "imageio/sample_source.h"

namespace nuclei {

/// Opens a TIFF file. Samples are integers of 1 to 32 or 64 bits or floats of 16 to 64 bits; pixels are grey
/// (either way round), RGB or palette colours, interleaved or planar, in strips or tiles, in any compression
/// that libtiff knows; BigTIFF too. Strips and tiles that the file leaves out are 0. Channels are samples or,
/// as in OME-TIFF and ImageJ, planes. Throws Failure if the file is missing, damaged, cut short or of another
/// kind.
std::unique_ptr<SampleSource> open_tiff(const std::filesystem::path& path, const ReadOptions& options);

/// How many pictures (slices, time points, positions) a TIFF file holds; 1 for other files.
int page_count(const std::filesystem::path& path);

/// Whether the file starts as a TIFF does. False for a file that cannot be opened.
bool is_tiff(const std::filesystem::path& path);

}  // namespace nuclei
