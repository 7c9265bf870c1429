#pragma once

#include <filesystem>
#include <vector>

#include "dataset/bowl_layout.h"
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

struct Examined {
  std::vector<Example> examples;
  Diagnosis diagnosis;
};

/// Reads samples of a folder, and examines them as diagnose() does while they are in memory. Notes that need
/// all pairs of images are left out. Throws Failure if a sample cannot be read, Stopped if a signal came
/// meanwhile.
Examined read_examined(const std::filesystem::path& data, const std::vector<Sample>& samples);

/// Throws Failure if there is an error among the findings, unless faults are to be ignored. Says in one line
/// on stderr what is ignored, and what is probably wrong.
void refuse_faults(const Diagnosis& diagnosis, const std::filesystem::path& data, bool ignore_faults);

}  // namespace nuclei
