#pragma once

#include <filesystem>
#include <string>

#include "inference/segmenter.h"

namespace nuclei {

struct EvaluateOptions {
  std::filesystem::path model, data;
  std::filesystem::path json;    // empty: not written
  std::filesystem::path report;  // empty: report.html or evaluation.html
  bool tta = false;
  double zoom = auto_zoom;
  std::string precision = "f32";  // or bf16
  bool write_report = true;
  bool ignore_faults = false;  // of the images and masks (dataset/diagnosis.h)
  bool overwrite = false;      // files that no earlier evaluation wrote
  std::string device = "auto";
};

/// Segments every image of a folder in the Data Science Bowl layout and scores the model and the baselines
/// against the masks. Prints summaries to stdout and writes the report, and all scores as JSON if `json` is
/// given. Throws Failure, also where the data have faults (refuse_faults), and where files would be replaced
/// that no earlier evaluation wrote.
void evaluate(const EvaluateOptions& options);

}  // namespace nuclei
