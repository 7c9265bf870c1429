#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "inference/finder.h"

namespace nuclei {

// What is found, as the files of tables and of other programs hold it.

/// The heading of nuclei.csv, and a nucleus as one of its rows. Sizes in micrometres stay empty if the pixel
/// size is unknown (0).
///   image  the name of the results
///   file   the image's file
std::string csv_header();
std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height);

/// The heading of images.csv, and a picture as one of its rows. Areas have no mean without a nucleus.
///   header  the picture's size and pixel size
///   areas   of its nuclei, pixels
///   zoom    how many times larger the network saw the picture
///   note    what was chosen of the file
std::string images_header();
std::string images_row(std::string_view image, std::string_view file, const Image& header,
                       std::vector<std::int64_t> areas, double zoom, std::string_view note);

/// Runs in the Data Science Bowl's format, "start length start length ...". Pixels are counted column by
/// column, from 1.
std::string bowl_runs(const std::vector<Run>& runs, int height);

/// The beginning of a picture's data set, up to its first annotation.
///   file_name  the picture's file below the folder that was given
std::string coco_start(const std::string& file_name, int width, int height);

/// A nucleus as an entry of COCO's "annotations", segmented by a compressed run-length code.
std::string coco_annotation(const Found& found, std::int64_t id, std::int64_t image_id, int width,
                            int height);

/// Run lengths in COCO's compressed format: runs of pixels outside and inside by turns, column by column.
std::string coco_counts(const std::vector<Run>& runs, int width, int height);

/// Joins coco/<name>.json of all names into one data set, out/coco.json.
void join_coco(const std::filesystem::path& out, const std::vector<std::string>& names);

/// A nucleus as a GeoJSON feature that QuPath imports as a detection with measurements. Coordinates are those
/// of pixel corners, which are whole numbers. Pixel sizes are in micrometres, 0 if unknown.
std::string geojson_feature(const Found& found, double pixel_width, double pixel_height);

/// A nucleus as ImageJ's .roi file: the outline of its largest part, without holes, by its name.
std::string imagej_roi(const Found& found, std::string_view name);

}  // namespace nuclei
