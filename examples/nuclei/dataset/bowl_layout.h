#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei {

/// One folder of the Data Science Bowl 2018 layout:
///   <root>/<id>/images/<anything>.png   the picture
///   <root>/<id>/masks/*.png             one binary mask per nucleus; may be absent at prediction
struct Sample {
  std::string id;
  std::filesystem::path image;
  std::vector<std::filesystem::path> masks;
};

/// A picture with its true nuclei.
struct Example {
  std::string id;
  Image image;
  LabelMap truth;
  std::size_t set = 0;  // which of several data sets it is from
};

/// Whether a file of this name counts as an image or a mask in the layout.
bool is_bowl_picture(const std::filesystem::path& path);

/// Lists the samples under `root` by ascending id. Throws Failure if the folder is missing or not
/// in the layout, if an id holds no image or several, or if masks are needed and absent.
std::vector<Sample> scan_bowl(const std::filesystem::path& root, bool need_masks);

/// Paints the masks of a sample, in file name order, as labels 1..n without gaps; where masks
/// overlap the first keeps the pixel, and a mask left without a pixel gets no label. Throws Failure
/// if a mask cannot be read or is not `width` by `height` pixels.
LabelMap read_labels(const Sample& sample, int width, int height);

/// Reads picture and masks of a sample. Throws Failure as read_image and read_labels do.
Example read_example(const Sample& sample);

/// Writes examples in the layout that scan_bowl reads, pictures as RGBA PNG like the original data.
/// Creates `root`. Throws Failure if a file cannot be written, or a folder of an example exists
/// already: its masks would mix with those of before.
void write_bowl(const std::filesystem::path& root, std::span<const Example> examples);

}  // namespace nuclei
