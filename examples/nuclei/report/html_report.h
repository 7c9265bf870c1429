#pragma once

#include <string>
#include <utility>
#include <vector>

#include "evaluation/evaluation.h"

namespace nuclei {

/// Every report holds this.
inline constexpr const char* report_mark = "<div class=\"eyebrow\">nuclei report</div>";

/// What a report tells beside the scores.
struct ReportPage {
  std::string title;        // "Evaluation", "Training"
  std::string subject;      // which model, on which images
  std::string metrics_csv;  // the table of a training, a line per epoch; empty: no curves
  std::vector<std::pair<std::string, std::string>> configuration, timing;  // name, value
};

/// One HTML file that needs nothing else: key figures with intervals, the baselines beside the model, what
/// became of the nuclei, AP against IoU, sizes, kinds of images, the best and worst images with outlines,
/// curves of the training. `baselines` has the images of `evaluation`, in its order. An evaluation without
/// images gives a page that says so.
std::string html_report(const ReportPage& page, const Evaluation& evaluation, const Baselines& baselines);

}  // namespace nuclei
