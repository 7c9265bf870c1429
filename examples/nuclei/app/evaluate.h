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

/// Where the report goes if nobody says: report.html beside the JSON file, or in the working folder;
/// evaluation.html in the model's own folder, where report.html tells of the training.
std::filesystem::path default_report(const EvaluateOptions& options);

/// Segments every image of a folder in the Data Science Bowl layout and scores it against its masks, the
/// model beside the baselines. Prints summaries to stdout; writes everything as JSON if asked to, and the
/// report. Throws Failure.
std::vector<ImageScores> evaluate(const EvaluateOptions& options);

}  // namespace nuclei
