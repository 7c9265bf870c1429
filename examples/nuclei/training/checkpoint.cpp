#include "training/checkpoint.h"

#include <limits>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "common/error.h"
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
  try {
    read_settings(Json::parse(found->second), options);
  } catch (const Json::exception& e) {
    throw Failure(file.string() + ": damaged checkpoint: " + e.what());
  }
  if (options.out.empty()) options.out = file.parent_path().empty() ? "." : file.parent_path();
  return checkpoint;
}

TrainingState read_state(const karyon::TensorFile& checkpoint, const Trained& trained) {
  trained.model.load_state_dict(part_of(checkpoint, "model."));
  trained.average.load_state_dict(part_of(checkpoint, "average."));
  trained.optimizer.load_state_dict(part_of(checkpoint, "optimizer."));
  try {
    return state_from(Json::parse(checkpoint.metadata.at("nuclei.state")));
  } catch (const Json::exception& e) {
    throw Failure(std::string("--resume: damaged checkpoint: ") + e.what());
  } catch (const std::out_of_range&) {
    throw Failure("--resume: damaged checkpoint: it holds no state");
  }
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

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace nuclei
