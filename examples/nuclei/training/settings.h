#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <karyon/models/unet.h>

namespace nuclei {

/// More than any training has; so steps can be counted.
inline constexpr std::int64_t max_epochs = 1'000'000;

/// A folder of images to learn from.
struct DataSet {
  std::filesystem::path path;
  double weight = 1;  // of its crops: how often they are shown, beside those of the other sets
  bool operator==(const DataSet&) const = default;
};

/// "PATH" or "PATH:WEIGHT". Throws UsageError if the weight is not above 0.
DataSet data_set_from(const std::string& text);
std::string to_text(const DataSet& set);

struct TrainOptions {
  std::vector<DataSet> data;
  std::vector<std::filesystem::path> validate_on;  // sets that are held out as a whole
  std::filesystem::path out;
  std::optional<std::filesystem::path> resume;
  std::optional<std::filesystem::path> init;  // a model to begin with ("default": the bundled one)
  std::optional<std::int64_t> epochs;         // not given: 40, or what fits in max_minutes
  std::optional<double> max_minutes;
  std::int64_t crop = 256, batch_size = 8, base_width = 32, depth = 4;
  double lr = 2e-3;
  double validation = 0.15;   // share of the images held out; 0: train on all, and keep the last epoch
  int folds = 0;              // instead: the number of folds, of which one is held out ...
  int fold = 0;               // ... this one, from 1; 0: each in turn, in a run of its own
  double diameter = 0;        // of the median nucleus of each image in the crops, pixels; 0: as it is
  std::int64_t patience = 0;  // epochs without a better score after which training stops; 0: never stops
  std::int64_t validate_every = 1;  // epochs from one validation to the next; the last one is validated too
  std::uint64_t seed = 1;
  std::int64_t limit = 0;      // the number of images used, spread over the set; 0: all
  bool ignore_faults = false;  // of the images and masks (dataset/diagnosis.h)
  std::string device = "auto";
  std::string precision = "f32";    // or bf16: convolutions and what is between them; weights stay f32
  bool overwrite = false;           // replace the run that is in `out`
  bool compress_gradients = false;  // between processes, to bf16
};

/// A setting on which the result of a training depends. It stands in the checkpoint and cannot change in a
/// run that is resumed. The result depends on the data, `epochs` and `init` too, but a checkpoint holds those
/// in another form.
struct Setting {
  const char* name;  // of the entry in a checkpoint; the option is option_name()
  std::variant<std::int64_t TrainOptions::*, std::uint64_t TrainOptions::*, int TrainOptions::*,
               double TrainOptions::*, std::string TrainOptions::*>
      member;
  const char* help;
  bool shows_default = true;     // in the help text
  bool in_every_version = true;  // false: the oldest checkpoints lack it, and mean its default
};

inline constexpr std::array settings{
    Setting{"crop", &TrainOptions::crop, "side of the training crops, pixels"},
    Setting{"batch_size", &TrainOptions::batch_size, "crops per step"},
    Setting{"base_width", &TrainOptions::base_width,
            "channels of the first level; more is slower and learns more"},
    Setting{"depth", &TrainOptions::depth, "how often the size is halved"},
    Setting{"lr", &TrainOptions::lr, "peak learning rate of AdamW"},
    Setting{"validation", &TrainOptions::validation,
            "share of the images held out, in whole groups of similar ones; 0 trains on all"},
    Setting{"folds", &TrainOptions::folds,
            "cut the images into so many folds of whole groups, hold each out in turn, and report mean and "
            "spread (0: one split, by --validation)",
            false, false},
    Setting{"fold", &TrainOptions::fold, "with --folds: hold out this one only, 1 ...", false, false},
    Setting{
        "diameter", &TrainOptions::diameter,
        "scale each image so that its median nucleus is so many pixels wide (0: as they are); brings sets "
        "of different magnifications together",
        true, false},
    Setting{"patience", &TrainOptions::patience,
            "stop after so many epochs without a better score (0: never)", true, false},
    Setting{"validate_every", &TrainOptions::validate_every,
            "score the held-out images, and so choose the model, after so many epochs each", true, false},
    Setting{"seed", &TrainOptions::seed, "of weights, order, crops and split"},
    Setting{"limit", &TrainOptions::limit, "use only so many images, spread over the set (0: all)"},
    Setting{"precision", &TrainOptions::precision, "activations take half the memory, weights stay f32", true,
            false},
};

/// "--batch-size" for "batch_size".
std::string option_name(const Setting& setting);

/// Throws UsageError if a setting is out of range, or settings do not go together.
void check_options(const TrainOptions& options);

/// All settings on which the result depends, for checkpoints, models' files and reports.
///   epochs  the planned number
nlohmann::json to_json(const TrainOptions& options, std::int64_t epochs);

/// Takes these settings from a checkpoint, except `data` and `epochs` if the user gave them. Throws
/// nlohmann::json::exception if an entry is missing or of another type.
void read_settings(const nlohmann::json& saved, TrainOptions& options);

/// The network to train.
karyon::UNetOptions network(const TrainOptions& options);

}  // namespace nuclei
