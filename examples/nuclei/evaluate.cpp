#include "evaluate.h"

#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "atomic_file.h"
#include "bowl.h"
#include "progress.h"
#include "report.h"
#include "segmenter.h"

namespace nuclei {
namespace {

using Json = nlohmann::json;

Json to_json(const Scores& s) {
  Json ap = Json::object();
  for (int k = 0; k < kThresholds; ++k) ap[fixed(threshold(k), 2)] = s.ap[static_cast<std::size_t>(k)];
  return {{"pixel_accuracy", s.accuracy},  {"iou", s.iou},           {"dice", s.dice},
          {"dsb_score", s.bowl},           {"precision_at_iou", ap}, {"nuclei", s.true_count},
          {"predicted", s.predicted_count}};
}

void print_row(const std::string& name, const Scores& s) {
  std::printf("%-24.24s  %8.4f  %6.4f  %6.4f  %6.4f  %7d  %9d\n", name.c_str(), s.accuracy, s.iou, s.dice,
              s.bowl, s.true_count, s.predicted_count);
}

}  // namespace

std::vector<ImageScores> evaluate(const std::filesystem::path& model, const std::filesystem::path& data,
                                  const std::filesystem::path& json, const std::string& device) {
  Segmenter segmenter(model, select_device(device));
  const std::vector<Sample> samples = scan_bowl(data, true);
  std::vector<ImageScores> rows;
  std::map<std::string, std::vector<Scores>> by_modality;
  std::vector<Scores> all;
  {
    Progress progress("evaluating", static_cast<std::int64_t>(samples.size()));
    for (const Sample& sample : samples) {
      const Example e = read_example(sample);
      const Scores s = score(e.truth, segmenter(e.image));
      rows.push_back({e.id, name(modality(image_stats(e.image))), s});
      by_modality[rows.back().modality].push_back(s);
      all.push_back(s);
      progress.update(static_cast<std::int64_t>(rows.size()));
    }
  }
  std::printf("%-24s  %8s  %6s  %6s  %6s  %7s  %9s\n", "image", "accuracy", "IoU", "Dice", "DSB", "nuclei",
              "predicted");
  for (const ImageScores& row : rows) print_row(row.id, row.scores);
  std::printf("\n");
  for (const auto& [kind, scores] : by_modality)
    print_row("mean, " + kind + " (" + std::to_string(scores.size()) + ")", mean(scores));
  print_row("mean of " + std::to_string(all.size()) + " images", mean(all));
  std::printf(
      "\naccuracy: share of pixels right; DSB: mean over IoU thresholds 0.50 ... 0.95 of TP / (TP + FP + "
      "FN)\n");

  if (!json.empty()) {
    Json out = {{"model", model.string()},
                {"data", data.string()},
                {"mean", to_json(mean(all))},
                {"images", Json::array()}};
    for (const auto& [kind, scores] : by_modality) out["by_modality"][kind] = to_json(mean(scores));
    for (const ImageScores& row : rows) {
      Json entry = to_json(row.scores);
      entry["image"] = row.id;
      entry["modality"] = row.modality;
      out["images"].push_back(entry);
    }
    write_file_atomically(json, out.dump(2) + "\n");
  }
  return rows;
}

}  // namespace nuclei
