#pragma once

#include <string>
#include <string_view>

#include "instances/measure.h"

namespace nuclei {

/// The heading of nuclei.csv, and a nucleus as one of its rows. Sizes in micrometres stay empty if the pixel
/// size is unknown (0).
///   image  the name of the results
///   file   the image's file
std::string csv_header();
std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height);

}  // namespace nuclei
