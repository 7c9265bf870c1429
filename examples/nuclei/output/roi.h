#pragma once

#include <string>
#include <string_view>

#include "inference/finder.h"

namespace nuclei {

/// A nucleus as ImageJ's .roi file: the outline of its largest part, without holes, by its name.
std::string imagej_roi(const Found& found, std::string_view name);

}  // namespace nuclei
