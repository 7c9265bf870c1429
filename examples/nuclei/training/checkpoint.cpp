#include "training/checkpoint.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"
#include "inference/segmenter.h"

namespace nuclei {
namespace {

using Json = nlohmann::json;

struct Column {
  const char* name;
  double EpochMetrics::*member;
  int decimals = 6;
};

// Behind the epoch's number. Checkpoints hold the same numbers in this order.
constexpr Column columns[] = {{"train_loss", &EpochMetrics::train_loss},
                              {"val_loss", &EpochMetrics::validation_loss},
                              {"val_accuracy", &EpochMetrics::accuracy},
                              {"val_iou", &EpochMetrics::iou},
                              {"val_dice", &EpochMetrics::dice},
                              {"val_bowl", &EpochMetrics::bowl},
                              {"lr", &EpochMetrics::lr, 8},
                              {"seconds", &EpochMetrics::seconds, 1}};

Json to_json(const EpochMetrics& metrics) {
  Json row = Json::array({metrics.epoch});
  for (const Column& column : columns) row.push_back(metrics.*column.member);
  return row;
}

EpochMetrics metrics_from(const Json& row) {
  EpochMetrics metrics{.epoch = row.at(0)};
  std::size_t at = 1;
  for (const Column& column : columns) {
    const Json& value = row.at(at++);  // JSON has no NaN
    metrics.*column.member = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
  }
  return metrics;
}

Json to_json(const TrainingState& state) {
  Json history = Json::array();
  for (const EpochMetrics& metrics : state.history) history.push_back(to_json(metrics));
  Json json = {{"epoch", state.epoch},
               {"batch", state.batch},
               {"loss_sum", state.loss_sum},
               {"best", state.best},
               {"best_epoch", state.best_epoch},
               {"history", history},
               {"fingerprint", state.fingerprint},
               {"thresholds", to_text(state.thresholds)}};
  if (state.plan) json["plan"] = {{"phase", state.plan->phase}, {"seconds_left", state.plan->seconds_left}};
  return json;
}

TrainingState state_from(const Json& json) {
  TrainingState state;
  state.epoch = json.at("epoch");
  state.batch = json.at("batch");
  state.loss_sum = json.at("loss_sum");
  state.best = json.at("best");
  state.best_epoch = json.value("best_epoch", state.epoch);
  state.fingerprint = json.at("fingerprint");
  for (const Json& row : json.at("history")) state.history.push_back(metrics_from(row));
  state.thresholds = thresholds_from(json.at("thresholds"));
  if (const auto plan = json.find("plan"); plan != json.end())
    state.plan = {.phase = plan->at("phase"), .seconds_left = plan->at("seconds_left")};
  return state;
}

// Numbers that no training reaches could make the next one run for ever, or beyond its arrays.
void check_state(const TrainingState& state) {
  const auto require = [](bool ok, const std::string& what) {
    if (!ok) throw Failure("damaged: " + what);
  };
  require(state.epoch >= 0 && state.epoch <= max_epochs, "it is in epoch " + std::to_string(state.epoch));
  require(state.batch >= 0, "it is in batch " + std::to_string(state.batch));
  require(state.best_epoch >= 0 && state.best_epoch <= state.epoch,
          "the best epoch is " + std::to_string(state.best_epoch) + " of " + std::to_string(state.epoch));
  require(std::cmp_equal(state.history.size(), state.epoch),
          "scores of " + std::to_string(state.history.size()) + " epochs, expected " +
              std::to_string(state.epoch));
  require(std::isfinite(state.loss_sum) && std::isfinite(state.best), "a score is not a number");
}

// The largest weights must be in the file before a network of that size is built.
void check_network(const karyon::TensorFile& checkpoint, const TrainOptions& options) {
  const karyon::UNetOptions o = network(options);
  const std::int64_t bottom = o.base_width << o.depth;
  for (const auto& [name, shape] :
       {std::pair("model.down.0.conv1.weight", karyon::Shape{o.base_width, 3, 3, o.in_channels}),
        {"model.bottom.conv2.weight", karyon::Shape{bottom, 3, 3, bottom}}}) {
    const auto found = checkpoint.tensors.find(name);
    if (found == checkpoint.tensors.end() || found->second.shape() != shape)
      throw Failure("damaged: its weights are not those of a network of base_width " +
                    std::to_string(o.base_width) + " and depth " + std::to_string(o.depth));
  }
}

// What task() returns. Its errors name the file.
template <class Task>
auto of_file(const std::filesystem::path& file, const Task& task) {
  try {
    return task();
  } catch (const UsageError& e) {  // the settings are the file's, not the user's
    throw Failure(file.string() + ": damaged: " + e.what());
  } catch (const std::runtime_error& e) {
    throw Failure(file.string() + ": " + e.what());
  }
}

// The tensors whose names begin with `prefix`, which is left out.
karyon::StateDict part_of(const karyon::TensorFile& file, const std::string& prefix) {
  karyon::StateDict part;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with(prefix)) part.emplace(name.substr(prefix.size()), tensor);
  return part;
}

void add_part(karyon::TensorFile& file, const std::string& prefix, const karyon::StateDict& part) {
  for (const auto& [name, tensor] : part) file.tensors.emplace(prefix + name, tensor);
}

}  // namespace

std::string metrics_csv(const std::vector<EpochMetrics>& history) {
  std::string csv = "epoch";
  for (const Column& column : columns) csv += std::string(",") + column.name;
  csv += '\n';
  for (const EpochMetrics& metrics : history) {
    csv += std::to_string(metrics.epoch);
    for (const Column& column : columns) csv += ',' + fixed(metrics.*column.member, column.decimals);
    csv += '\n';
  }
  return csv;
}

std::filesystem::path checkpoint_file(const std::filesystem::path& run) {
  return std::filesystem::is_directory(run) ? run / "last.ckpt" : run;
}

karyon::TensorFile open_checkpoint(const std::filesystem::path& file, TrainOptions& options) {
  karyon::TensorFile checkpoint = karyon::load_safetensors(file);
  const auto found = checkpoint.metadata.find("nuclei.options");
  if (found == checkpoint.metadata.end())
    throw Failure(file.string() + ": is not a checkpoint of nuclei train; expected RUN/last.ckpt");
  of_file(file, [&] {
    read_json(found->second, "its settings", [&](const Json& json) {
      read_settings(json, options);
      return 0;
    });
    check_options(options);
    check_network(checkpoint, options);
    return 0;
  });
  if (options.out.empty()) options.out = file.parent_path().empty() ? "." : file.parent_path();
  return checkpoint;
}

TrainingState read_state(const std::filesystem::path& file, const karyon::TensorFile& checkpoint,
                         const Trained& trained) {
  return of_file(file, [&] {
    trained.model.load_state_dict(part_of(checkpoint, "model."));
    trained.average.load_state_dict(part_of(checkpoint, "average."));
    trained.optimizer.load_state_dict(part_of(checkpoint, "optimizer."));
    const auto text = checkpoint.metadata.find("nuclei.state");
    if (text == checkpoint.metadata.end()) throw Failure("damaged: it holds no state");
    TrainingState state = read_json(text->second, "its state", state_from);
    check_state(state);
    return state;
  });
}

void save_checkpoint(const std::filesystem::path& file, const TrainOptions& options, std::int64_t epochs,
                     const TrainingState& state, const Trained& trained) {
  karyon::TensorFile checkpoint;
  add_part(checkpoint, "model.", trained.model.state_dict());
  add_part(checkpoint, "average.", trained.average.state_dict());
  add_part(checkpoint, "optimizer.", trained.optimizer.state_dict());
  checkpoint.metadata = {{"nuclei.options", dump(to_json(options, epochs))},
                         {"nuclei.state", dump(to_json(state))}};
  karyon::save_safetensors(file, checkpoint);
}

}  // namespace nuclei
