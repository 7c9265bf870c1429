#pragma once

#include <string>
#include <vector>

#include "instances/outline.h"

namespace nuclei {

/// Runs in the Data Science Bowl's format, "start length start length ...". Pixels are counted column by
/// column, from 1.
std::string bowl_runs(const std::vector<Run>& runs, int height);

}  // namespace nuclei
