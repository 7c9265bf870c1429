#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "inference/finder.h"

namespace nuclei {

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

}  // namespace nuclei
