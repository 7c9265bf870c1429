#include "training/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "inference/segmenter.h"

namespace nuclei {

namespace {

/// The number behind the last colon of a text.
std::optional<double> weight_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {};
  const char *begin = text.data() + colon + 1, *end = text.data() + text.size();
  double weight = 0;
  const auto [stop, error] = std::from_chars(begin, end, weight);
  if (error != std::errc() || stop != end) return {};
  return weight;
}

}  // namespace

DataSet data_set_from(const std::string& text) {
  const std::optional<double> weight = weight_of(text);
  if (!weight) return {text};
  if (!std::isfinite(*weight) || *weight <= 0)
    throw UsageError("--data: expects a weight above 0 behind the colon, got '" + text + "'");
  return {text.substr(0, text.rfind(':')), *weight};
}

std::string to_text(const DataSet& set) {
  std::string text = set.path.string();
  if (set.weight == 1 && !weight_of(text)) return text;
  char digits[32] = {};
  std::to_chars(digits, digits + sizeof digits - 1, set.weight);
  return text + ':' + digits;
}

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
  require(o.folds == 0 || o.validate_on.empty(),
          "--folds holds out parts of --data; leave --validate-on out, or --folds");
  require(o.diameter == 0 || (o.diameter >= 8 && o.diameter <= 200),
          "--diameter: expects 8 to 200 pixels, or 0, got " + fixed(o.diameter, 1));
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
  nlohmann::json json = {{"data", nlohmann::json::array()},
                         {"validate_on", nlohmann::json::array()},
                         {"epochs", epochs},
                         {"init", options.init ? to_utf8(options.init->filename().string()) : ""}};
  for (const DataSet& set : options.data)
    json["data"].push_back(to_utf8(to_text({std::filesystem::absolute(set.path), set.weight})));
  for (const std::filesystem::path& set : options.validate_on)
    json["validate_on"].push_back(to_utf8(std::filesystem::absolute(set).string()));
  for (const Setting& setting : settings)
    std::visit([&](auto member) { json[setting.name] = options.*member; }, setting.member);
  return json;
}

void read_settings(const nlohmann::json& saved, TrainOptions& options) {
  if (options.data.empty()) {
    const nlohmann::json& data = saved.at("data");
    if (data.is_string()) {  // of a version that had one set
      options.data.push_back({from_utf8(data.get<std::string>())});
    } else {
      for (const nlohmann::json& set : data)
        options.data.push_back(data_set_from(from_utf8(set.get<std::string>())));
    }
  }
  if (options.validate_on.empty() && saved.contains("validate_on"))
    for (const nlohmann::json& set : saved.at("validate_on"))
      options.validate_on.emplace_back(from_utf8(set.get<std::string>()));
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
