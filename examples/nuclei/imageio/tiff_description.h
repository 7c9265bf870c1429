#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nuclei {

/// A plane as the file stores it.
struct StoredPlane {
  std::uint32_t directory = 0;
  std::uint64_t behind = 0;  // how many planes it lies behind the directory's own
  bool reduced = false;      // a thumbnail or a smaller copy
  int samples = 1;           // per pixel
};

/// Where a description places a plane.
struct PlacedPlane {
  std::int64_t page = 0, channel = 0;  // in its image, from 0
  std::size_t stored = 0;              // the index of the StoredPlane
};

/// An image of a file (a position, a scene) as its description tells of it.
struct DescribedImage {
  std::string name;
  std::int64_t width = 0, height = 0;        // 0 where they are not told
  double pixel_width = 0, pixel_height = 0;  // micrometres; 0 where they are not told
  bool has_tags = true;                      // the resolution tags count where no pixel size is told
  std::int64_t channels = 1;                 // those that are planes
  std::vector<std::string> channel_names;    // of planes, or of samples
  std::vector<PlacedPlane> planes;           // those in this file
};

/// What OME-XML or ImageJ's text says beyond the TIFF tags.
struct TiffDescription {
  std::vector<DescribedImage> images;  // none: the planes are pages as they lie
  std::string remark;                  // what of it is not used, or of the file not read
};

/// All planes but the reduced ones as pages of one channel.
DescribedImage pages_as_they_lie(const std::vector<StoredPlane>& stored);

/// ImageJ's text, which also says how the resolution tags are meant.
struct ImageJText {
  std::int64_t images = 1, channels = 1;
  std::optional<std::string> unit, unit_of_y;
};

/// Nothing if the text is not ImageJ's.
std::optional<ImageJText> read_image_j(const std::string& text);

/// Whether the text is OME-XML.
bool is_ome(const std::string& text);

/// Finds the planes by OME-XML or ImageJ's text; see docs/reference/tiff.md for what of them counts. ImageJ's
/// pixel size is left to the resolution tags.
///   text       of the tag ImageDescription
///   stored     the file's planes in order. TiffData's IFD counts them, so with OME-XML they are directories
///   file_name  tells the planes of this file from those of the others in a set
TiffDescription describe(const std::string& text, const std::vector<StoredPlane>& stored,
                         const std::string& file_name);

}  // namespace nuclei
