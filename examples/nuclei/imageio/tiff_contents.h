#pragma once

#include <string>
#include <vector>

#include "imageio/tiff_description.h"
#include "imageio/tiff_file.h"

namespace nuclei {

struct TiffPage {
  std::size_t image = 0;            // in TiffContents::images
  std::vector<PlacedPlane> planes;  // one for each channel in this file, in their order; never empty
};

/// The pages of a file, image by image.
struct TiffContents {
  std::vector<StoredPlane> stored;
  std::vector<DescribedImage> images;
  std::vector<TiffPage> pages;
  std::string remark;  // what is passed over or not understood
};

/// Lists what a file holds by its description (OME-XML, ImageJ's text), its directories and, where one
/// directory stands for a stack, the planes behind it. The file stands at its first directory before, and
/// anywhere afterwards. Throws Failure if there is no full-size picture.
TiffContents list_contents(TiffFile& file);

}  // namespace nuclei
