#include "training/run_files.h"

#include <algorithm>

#include <karyon/core/parallel.h>
#include <nlohmann/json.hpp>

#include "common/json.h"
#include "common/progress.h"
#include "common/text.h"
#include "evaluation/metrics.h"
#include "inference/segmenter.h"
#include "report/html_report.h"

namespace nuclei {

using Json = nlohmann::json;

namespace {

/// The folders that the held-out images are from.
std::string listed_sets(const TrainOptions& options) {
  std::string text;
  for (const std::filesystem::path& set : options.validate_on) append_part(text, ", ", set.string());
  if (!text.empty()) return text;
  for (const DataSet& set : options.data) append_part(text, ", ", set.path.string());
  return text;
}

}  // namespace

std::map<std::string, std::string> model_metadata(const TrainOptions& options, std::int64_t epochs,
                                                  std::int64_t epoch, double diameter,
                                                  const std::vector<Scores>& scores,
                                                  const SegmentOptions& fitted) {
  Json saved = to_json(options, epochs);
  // Whoever gets the model need not know where the images lay.
  saved.erase("data");
  saved.erase("validate_on");
  std::map<std::string, std::string> metadata{{"nuclei.options", dump(saved)},
                                              {"nuclei.epoch", std::to_string(epoch)},
                                              {diameter_key, fixed(diameter, 1)},
                                              {thresholds_key, to_text(fitted)}};
  if (!scores.empty()) {
    const Scores all = mean(scores);
    metadata["nuclei.validation"] = Json{
        {"images", scores.size()},
        {"accuracy", all.accuracy},
        {"iou", all.iou},
        {"dice", all.dice},
        {"bowl", all.bowl}}.dump();
  }
  return metadata;
}

std::string training_report(const TrainOptions& options, std::int64_t epochs, const TrainingState& state,
                            std::size_t held_out, const Evaluation& evaluation, const Baselines& baselines) {
  ReportPage page{.title = "Training",
                  .subject = options.out.string() + ": epoch " + std::to_string(state.epoch) + " of " +
                             std::to_string(epochs) + ", scored on " + std::to_string(held_out) +
                             " held-out images of " + listed_sets(options),
                  .metrics_csv = metrics_csv(state.history)};
  const Json decisive = to_json(options, epochs);
  for (const auto& [name, value] : decisive.items())
    page.configuration.emplace_back(name,
                                    value.is_string() ? from_utf8(value.get<std::string>()) : value.dump());
  double training = 0, finding = 0;
  for (const EpochMetrics& epoch : state.history) training += epoch.seconds;
  for (const ImageScores& image : evaluation.images()) finding += image.seconds;
  page.timing = {
      {"training, all epochs", format_duration(training)},
      {"training, one epoch",
       format_duration(training / static_cast<double>(std::max<std::size_t>(state.history.size(), 1)))},
      {"finding nuclei in the held-out images", format_duration(finding)},
      {"threads", std::to_string(karyon::num_threads())}};
  return html_report(page, evaluation, baselines);
}

}  // namespace nuclei
