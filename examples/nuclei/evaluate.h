#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "metrics.h"

namespace nuclei {

struct ImageScores {
  std::string id;
  std::string modality;
  Scores scores;
};

/// Segments every image of a folder in the Data Science Bowl layout and scores it against its masks. Prints a
/// line per image and the means to stdout; writes them as JSON too unless `json` is empty. Throws Failure.
std::vector<ImageScores> evaluate(const std::filesystem::path& model, const std::filesystem::path& data,
                                  const std::filesystem::path& json, const std::string& device);

}  // namespace nuclei
