#pragma once

#include <string>
#include <string_view>

#include "instances/measure.h"

namespace nuclei {

/// The columns of nuclei.csv, and a nucleus as one of its rows: `image` names the results, `file` is what
/// they were found in. Sizes in micrometres stay empty if the pixel size (0) is unknown.
std::string csv_header();
std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height);

}  // namespace nuclei
