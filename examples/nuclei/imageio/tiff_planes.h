#pragma once

#include <string>

#include "imageio/image_source.h"
#include "imageio/tiff_description.h"
#include "imageio/tiff_file.h"
#include "imageio/tiff_rows.h"

namespace nuclei {

/// The picture that is read from a file of pages and channels.
struct TiffPlane {
  StoredPlane stored;
  TiffLayout layout;
  int first_sample = 0;
  bool colour = false;  // its colours are taken as a whole, not one channel of it
  /// Micrometres; 0 where the file does not say.
  double pixel_width = 0, pixel_height = 0;
  std::string note, remark;  // see ImageSource
};

/// Finds the page and channel that the options ask for. The file then stands at their directory. Throws
/// Failure if there is no such page or channel, or if the page is damaged.
TiffPlane choose_plane(TiffFile& file, const ReadOptions& options);

/// How many pages --page chooses from.
int count_pages(TiffFile& file);

}  // namespace nuclei
