#pragma once

#include <filesystem>
#include <vector>

#include "dataset/faults.h"

namespace nuclei {

struct Diagnosis {
  std::size_t images = 0, masks = 0;
  std::vector<Finding> findings;  // in the order of faults(), then by file

  std::size_t count(Severity severity) const;
};

/// Looks at every file of a folder in the Data Science Bowl layout, on all processors, with progress on
/// stderr. Whatever is wrong with the data becomes a finding; throws Failure only if the folder cannot be
/// listed.
Diagnosis diagnose(const std::filesystem::path& data);

}  // namespace nuclei
