#pragma once

#include <string>
#include <vector>

#include "instances/outline.h"

namespace nuclei {

/// Runs as the Data Science Bowl wants them, "start length start length ...": column by column, the first
/// pixel is 1.
std::string bowl_runs(const std::vector<Run>& runs, int height);

}  // namespace nuclei
