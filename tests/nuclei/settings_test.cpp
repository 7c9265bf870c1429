#include "training/settings.h"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "training/checkpoint.h"

using namespace nuclei;
using Json = nlohmann::json;

namespace {

TrainOptions unusual() {
  return {.data = {{"/data"}, {"/more", 0.5}},
          .validate_on = {"/other"},
          .out = {},
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
          .diameter = 24,
          .patience = 9,
          .validate_every = 3,
          .seed = std::uint64_t{1} << 63,
          .limit = 17,
          .precision = "bf16"};
}

}  // namespace

TEST_CASE("nuclei: a run that is resumed has the settings of its checkpoint", "[nuclei][settings]") {
  const Json saved = to_json(unusual(), 7);
  CHECK(saved.size() == 4 + settings.size());
  TrainOptions resumed;
  read_settings(saved, resumed);
  CHECK(to_json(resumed, 7) == Json::parse(R"({"data": ["/data", "/more:0.5"], "validate_on": ["/other"],
          "epochs": 7, "init": "mine.safetensors", "crop": 64, "batch_size": 3,
          "base_width": 5, "depth": 2, "lr": 0.125, "validation": 0.25, "folds": 4, "fold": 2, "diameter": 24.0, "patience": 9,
          "validate_every": 3, "seed": 9223372036854775808, "limit": 17, "precision": "bf16"})"));
  CHECK(resumed.epochs == 7);
}

TEST_CASE("nuclei: data and epochs of the command line come before those of a checkpoint",
          "[nuclei][settings]") {
  TrainOptions resumed{.data = {{"/moved"}}, .out = {}, .resume = {}, .epochs = 9, .max_minutes = {}};
  read_settings(to_json(unusual(), 7), resumed);
  CHECK(resumed.data == std::vector<DataSet>{{"/moved"}});
  CHECK(resumed.epochs == 9);
}

TEST_CASE("nuclei: a set of images may have a weight", "[nuclei][settings]") {
  CHECK(data_set_from("a/b") == DataSet{"a/b"});
  CHECK(data_set_from("a/b:0.25") == DataSet{"a/b", 0.25});
  CHECK(data_set_from("a:b") == DataSet{"a:b"});
  CHECK(data_set_from("a:") == DataSet{"a:"});
  CHECK(data_set_from("a:2:1") == DataSet{"a:2"});  // a folder whose name ends like a weight
  for (const DataSet& set : {DataSet{"a"}, {"a", 3}, {"a:2"}, {"a:2", 0.1}, {"a:x"}})
    CHECK(data_set_from(to_text(set)) == set);
  for (const char* bad : {"a:0", "a:-1", "a:inf", "a:nan"}) CHECK_THROWS_AS(data_set_from(bad), UsageError);
}

TEST_CASE("nuclei: checkpoints of older versions have the defaults of settings that they lack",
          "[nuclei][settings]") {
  Json saved = to_json(unusual(), 7);
  for (const char* later : {"init", "folds", "fold", "diameter", "patience", "validate_every", "precision"})
    saved.erase(later);
  TrainOptions resumed{.resume = {}, .epochs = {}, .max_minutes = {}, .patience = 5, .precision = "bf16"};
  read_settings(saved, resumed);
  CHECK_FALSE(resumed.init);
  CHECK(resumed.folds == 0);
  CHECK(resumed.fold == 0);
  CHECK(resumed.patience == 0);
  CHECK(resumed.validate_every == 1);
  CHECK(resumed.precision == "f32");
  saved.erase("validate_on");
  saved["data"] = "/one:2";  // the path of one set
  TrainOptions one;
  read_settings(saved, one);
  CHECK(one.data == std::vector<DataSet>{{"/one:2"}});
  CHECK(one.validate_on.empty());
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
