#include "training/training.h"

#include <array>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include <karyon/karyon.h>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"
#include "imageio/atomic_file.h"
#include "inference/segmenter.h"

namespace nuclei {
namespace {

using Json = nlohmann::json;

Json spread(const Json& folds, const char* score) {
  double sum = 0, squares = 0;
  for (const Json& fold : folds) sum += fold.at(score).get<double>();
  const auto n = static_cast<double>(folds.size());
  for (const Json& fold : folds) squares += std::pow(fold.at(score).get<double>() - sum / n, 2);
  return {{"mean", sum / n}, {"standard_deviation", std::sqrt(squares / (n - 1))}};
}

}  // namespace

bool train_folds(const TrainOptions& options) {
  if (options.out.empty()) throw UsageError("--out: say where the runs' files go");
  constexpr std::array scores{"accuracy", "iou", "dice", "bowl"};
  Json results = Json::array();
  for (int fold = 1; fold <= options.folds; ++fold) {
    TrainOptions one = options;
    one.fold = fold;
    one.out = options.out / ("fold-" + std::to_string(fold));
    if (!options.overwrite && std::filesystem::exists(one.out / "last.ckpt")) one.resume = one.out;
    std::fprintf(stderr, "fold %d of %d\n", fold, options.folds);
    if (!train(one)) {
      std::fprintf(stderr, "stopped in fold %d of %d; the same command %sgoes on\n", fold, options.folds,
                   options.overwrite ? "without --overwrite " : "");
      return false;
    }
    std::map<std::string, std::string> metadata;
    const auto model = one.out / "model.safetensors";
    karyon::load_unet(model, &metadata);
    const auto entry = [&](const char* key) {
      const auto found = metadata.find(key);
      if (found == metadata.end())
        throw Failure(model.string() + ": expected an entry " + key + ", there is none");
      return parse_json(found->second, model.string());
    };
    Json result = entry("nuclei.validation");
    result["fold"] = fold;
    result["thresholds"] = entry(thresholds_key);
    results.push_back(result);
  }
  Json all = {{"folds", results}};
  std::string csv = "fold,images,accuracy,iou,dice,bowl\n";
  for (const Json& r : results) {
    csv += r.at("fold").dump() + ',' + r.at("images").dump();
    for (const char* score : scores) csv += ',' + fixed(r.at(score), 6);
    csv += '\n';
  }
  std::fprintf(stderr, "over %d folds, mean and standard deviation:\n", options.folds);
  for (const char* score : scores) {
    all[score] = spread(results, score);
    std::fprintf(stderr, "  %-9s %s +- %s\n", score, fixed(all[score].at("mean"), 4).c_str(),
                 fixed(all[score].at("standard_deviation"), 4).c_str());
  }
  write_file_atomically(options.out / "folds.csv", csv);
  write_file_atomically(options.out / "folds.json", all.dump(2) + "\n");
  return true;
}

}  // namespace nuclei
