#pragma once

#include <string>

#include "inference/finder.h"

namespace nuclei {

/// A nucleus as a GeoJSON feature that QuPath imports as a detection with measurements. Coordinates are those
/// of pixel corners, which are whole numbers. Pixel sizes are in micrometres, 0 if unknown.
std::string geojson_feature(const Found& found, double pixel_width, double pixel_height);

}  // namespace nuclei
