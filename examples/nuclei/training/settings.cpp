#include "training/settings.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "inference/segmenter.h"

namespace nuclei {

std::string option_name(const Setting& setting) {
  std::string name = setting.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

void check_options(const TrainOptions& o) {
  auto require = [](bool ok, const std::string& text) {
    if (!ok) throw UsageError(text);
  };
  require(!o.epochs || (*o.epochs >= 1 && *o.epochs <= max_epochs),
          "--epochs: expects 1 to " + std::to_string(max_epochs) + ", got " +
              std::to_string(o.epochs.value_or(0)));
  require(!o.max_minutes || *o.max_minutes > 0, "--max-minutes: expects more than 0");
  require(o.crop >= 16 && o.crop <= 4096, "--crop: expects 16 to 4096 pixels, got " + std::to_string(o.crop));
  require(o.batch_size >= 1, "--batch-size: expects 1 or more, got " + std::to_string(o.batch_size));
  require(o.base_width >= 1 && o.base_width <= 1024,
          "--base-width: expects 1 to 1024, got " + std::to_string(o.base_width));
  require(o.depth >= 1 && o.depth <= 8, "--depth: expects 1 to 8, got " + std::to_string(o.depth));
  require(o.crop >> o.depth >= 2 || o.batch_size > 1,
          "--crop: " + std::to_string(o.crop) + " pixels halved " + std::to_string(o.depth) +
              " times leave nothing to normalize; use a larger crop, a larger batch or less depth");
  require(std::isfinite(o.lr) && o.lr > 0, "--lr: expects a positive number");
  require(o.validation >= 0 && o.validation < 1, "--validation: expects a share of 0 or more, below 1");
  require(o.folds == 0 || o.folds >= 2, "--folds: expects 2 or more, got " + std::to_string(o.folds));
  require(o.fold >= 0 && o.fold <= o.folds, "--fold: expects 1 to the number of --folds, " +
                                                std::to_string(o.folds) + ", got " + std::to_string(o.fold));
  require(o.patience >= 0, "--patience: expects 0 or more epochs");
  require(o.validate_every >= 1,
          "--validate-every: expects 1 or more epochs, got " + std::to_string(o.validate_every));
  require(o.patience == 0 || o.patience >= o.validate_every,
          "--patience: expects at least the " + std::to_string(o.validate_every) +
              " epochs of --validate-every, or nothing would be scored in between, got " +
              std::to_string(o.patience));
  require(o.limit >= 0, "--limit: expects 0 or more");
  select_precision(o.precision);
}

nlohmann::json to_json(const TrainOptions& options, std::int64_t epochs) {
  nlohmann::json json = {{"data", to_utf8(std::filesystem::absolute(options.data).string())},
                         {"epochs", epochs},
                         {"init", options.init ? to_utf8(options.init->filename().string()) : ""}};
  for (const Setting& setting : settings)
    std::visit([&](auto member) { json[setting.name] = options.*member; }, setting.member);
  return json;
}

void read_settings(const nlohmann::json& saved, TrainOptions& options) {
  if (options.data.empty()) options.data = from_utf8(saved.at("data").get<std::string>());
  if (!options.epochs) options.epochs = saved.at("epochs").get<std::int64_t>();
  if (const auto init = saved.value("init", ""); !init.empty()) options.init = from_utf8(init);
  for (const Setting& setting : settings)
    std::visit(
        [&](auto member) {
          if (setting.in_every_version || saved.contains(setting.name)) {
            saved.at(setting.name).get_to(options.*member);
          } else {
            options.*member = TrainOptions().*member;
          }
        },
        setting.member);
}

karyon::UNetOptions network(const TrainOptions& options) {
  return {.out_channels = map_count, .base_width = options.base_width, .depth = options.depth};
}

}  // namespace nuclei
