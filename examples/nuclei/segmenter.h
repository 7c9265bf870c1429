#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <karyon/karyon.h>

#include "image.h"
#include "segment.h"

namespace nuclei {

/// The device that `--device` names: auto, cpu or cuda. auto takes a GPU where there is one, and says
/// else in one line on stderr, once, why it stays on the CPU. Throws UsageError for another name, Failure where there is no such device.
karyon::Device select_device(const std::string& name);

/// The probability, per pixel, of belonging to a nucleus: [height * width]. The model is in evaluation mode.
std::vector<float> predict_probability(karyon::UNet& model, const Image& image);

/// Separate nuclei out of probabilities, as training prepared them: touching ones were taught apart, so the
/// gaps are closed again.
LabelMap segment(const std::vector<float>& probability, int width, int height, float threshold = 0.5f);

/// A trained network and what its file says about it.
struct Segmenter {
  /// Throws Failure if the file cannot be read or is not a network for nuclei.
  Segmenter(const std::filesystem::path& file, karyon::Device device);
  LabelMap operator()(const Image& image);

  std::unique_ptr<karyon::UNet> model;
  std::map<std::string, std::string> metadata;
};

}  // namespace nuclei
