#pragma once

#include <string>
#include <vector>

namespace nuclei {

/// What OME-XML or ImageJ's description says beyond the TIFF tags.
struct TiffDescription {
  int channels = 1;  // those that are stored as pages
  int slices = 1;    // slices times time points
  bool channels_first = true;
  int slices_before_channels = 1;  // pages from one channel to the next
  std::vector<std::string> names;
  double pixel_width = 0, pixel_height = 0;
  bool image_j = false;
  double image_j_unit = 0;  // micrometres in the unit of the resolution tags
};

/// Parses the text of the tag ImageDescription.
TiffDescription describe(const std::string& text);

}  // namespace nuclei
