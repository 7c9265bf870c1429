#pragma once

#include <string>
#include <vector>

#include "imageio/tiff_description.h"

namespace nuclei {

/// describe() for OME-XML.
TiffDescription read_ome(const std::string& xml, const std::vector<StoredPlane>& stored,
                         const std::string& file_name);

}  // namespace nuclei
