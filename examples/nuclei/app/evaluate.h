#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evaluation/evaluation.h"
#include "inference/segmenter.h"

namespace nuclei {

struct EvaluateOptions {
  std::filesystem::path model, data;
  std::filesystem::path json;    // empty: not written
  std::filesystem::path report;  // empty: default_report()
  bool tta = false;
  int zoom = auto_zoom;
  std::string precision = "f32";  // or bf16
  bool write_report = true;
  std::string device = "auto";
};

/// Where the report goes by default: report.html beside the JSON file, or in the working folder;
/// evaluation.html in the model's own folder, where report.html is the training's.
std::filesystem::path default_report(const EvaluateOptions& options);

/// Segments every image of a folder in the Data Science Bowl layout and scores the model and the baselines
/// against the masks. Prints summaries to stdout and writes the report, and all scores as JSON if `json` is
/// given. Throws Failure.
std::vector<ImageScores> evaluate(const EvaluateOptions& options);

}  // namespace nuclei
