#include "training/settings.h"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "training/checkpoint.h"

using namespace nuclei;
using Json = nlohmann::json;

namespace {

TrainOptions unusual() {
  return {.data = "/data",
          .resume = {},
          .init = "/models/mine.safetensors",
          .epochs = {},
          .max_minutes = {},
          .crop = 64,
          .batch_size = 3,
          .base_width = 5,
          .depth = 2,
          .lr = 0.125,
          .validation = 0.25,
          .folds = 4,
          .fold = 2,
          .patience = 9,
          .validate_every = 3,
          .seed = std::uint64_t{1} << 63,
          .limit = 17,
          .precision = "bf16"};
}

}  // namespace

TEST_CASE("nuclei: a run that is resumed has the settings of its checkpoint", "[nuclei][settings]") {
  const Json saved = to_json(unusual(), 7);
  CHECK(saved.size() == 3 + settings.size());
  TrainOptions resumed;
  read_settings(saved, resumed);
  CHECK(to_json(resumed, 7) ==
        Json::parse(R"({"data": "/data", "epochs": 7, "init": "mine.safetensors", "crop": 64, "batch_size": 3,
          "base_width": 5, "depth": 2, "lr": 0.125, "validation": 0.25, "folds": 4, "fold": 2, "patience": 9,
          "validate_every": 3, "seed": 9223372036854775808, "limit": 17, "precision": "bf16"})"));
  CHECK(resumed.epochs == 7);
}

TEST_CASE("nuclei: data and epochs of the command line come before those of a checkpoint",
          "[nuclei][settings]") {
  TrainOptions resumed{.data = "/moved", .resume = {}, .epochs = 9, .max_minutes = {}};
  read_settings(to_json(unusual(), 7), resumed);
  CHECK(resumed.data == "/moved");
  CHECK(resumed.epochs == 9);
}

TEST_CASE("nuclei: checkpoints of older versions have the defaults of settings that they lack",
          "[nuclei][settings]") {
  Json saved = to_json(unusual(), 7);
  for (const char* later : {"init", "folds", "fold", "patience", "validate_every", "precision"})
    saved.erase(later);
  TrainOptions resumed{.resume = {}, .epochs = {}, .max_minutes = {}, .patience = 5, .precision = "bf16"};
  read_settings(saved, resumed);
  CHECK_FALSE(resumed.init);
  CHECK(resumed.folds == 0);
  CHECK(resumed.fold == 0);
  CHECK(resumed.patience == 0);
  CHECK(resumed.validate_every == 1);
  CHECK(resumed.precision == "f32");
  saved.erase("crop");
  CHECK_THROWS_AS(read_settings(saved, resumed), Json::exception);
}

TEST_CASE("nuclei: settings are options by their names", "[nuclei][settings]") {
  CHECK(option_name(settings[1]) == "--batch-size");
}

TEST_CASE("nuclei: metrics.csv has a line per epoch, and nan where nothing was scored",
          "[nuclei][settings]") {
  CHECK(metrics_csv({{.epoch = 1, .train_loss = 0.5, .lr = 0.001, .seconds = 2.25},
                     {.epoch = 2,
                      .train_loss = 0.25,
                      .validation_loss = 1,
                      .accuracy = 0.5,
                      .iou = 0.4,
                      .dice = 0.3,
                      .bowl = 0.2,
                      .lr = 0.002,
                      .seconds = 3}}) ==
        "epoch,train_loss,val_loss,val_accuracy,val_iou,val_dice,val_bowl,lr,seconds\n"
        "1,0.500000,nan,nan,nan,nan,nan,0.00100000,2.2\n"
        "2,0.250000,1.000000,0.500000,0.400000,0.300000,0.200000,0.00200000,3.0\n");
}
