#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <karyon/core/atomic_file.h>

#include "inference/finder.h"

namespace nuclei {

/// An archive that appears under its name with finish(), with the directory that more than 65535 entries or
/// 4 GB need where there are as many. Throws Failure where it cannot be written.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);
  void add(std::string_view name, std::string_view bytes);
  void finish();

 private:
  void write(const std::string& bytes);

  karyon::AtomicFile file_;
  std::uint64_t offset_ = 0, entries_ = 0;
  std::string directory_;
};

/// A nucleus as ImageJ's .roi file: the outline of its largest part, without holes, by its name.
std::string imagej_roi(const Found& found, std::string_view name);

/// A nucleus as a GeoJSON feature that QuPath imports as a detection with measurements. Coordinates are
/// pixels, corners of which are whole numbers; pixel sizes in micrometres, 0 if unknown.
std::string geojson_feature(const Found& found, double pixel_width, double pixel_height);

/// A nucleus as an entry of COCO's "annotations", segmented by a compressed run-length code.
std::string coco_annotation(const Found& found, std::int64_t id, std::int64_t image_id, int width,
                            int height);

/// Run lengths as COCO compresses them: the runs of pixels outside and inside by turns, column by column.
std::string coco_counts(const std::vector<Run>& runs, int width, int height);

/// Runs as the Data Science Bowl wants them, "start length start length ...": column by column, the first
/// pixel is 1.
std::string bowl_runs(const std::vector<Run>& runs, int height);

/// The columns of nuclei.csv, and a nucleus as one of its rows: `image` names the results, `file` is what
/// they were found in. Sizes in micrometres stay empty if the pixel size (0) is unknown.
std::string csv_header();
std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height);

}  // namespace nuclei
