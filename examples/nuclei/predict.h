#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nuclei {

struct PredictSummary {
  std::size_t images = 0, failed = 0;
  std::size_t nuclei = 0;
};

/// Finds nuclei in images: files, folders of images, or folders in the Data Science Bowl layout. Writes
/// out/labels/<stem>.png, out/overlays/<stem>.png and out/nuclei.csv. An image that cannot be read is
/// reported on stderr and skipped. Throws Failure if nothing was found to read or a result cannot be written.
PredictSummary predict(const std::filesystem::path& model, const std::vector<std::filesystem::path>& inputs,
                       const std::filesystem::path& out, const std::string& device);

}  // namespace nuclei
