#include "training/training_data.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>

#include "common/text.h"
#include "dataset/diagnosis.h"
#include "dataset/groups.h"

namespace nuclei {
namespace {

// `limit` of the samples, spread over the set; 0: all.
std::vector<Sample> limited(std::vector<Sample> samples, std::int64_t limit) {
  const auto count = static_cast<std::size_t>(limit);
  if (limit == 0 || count >= samples.size()) return samples;
  std::vector<Sample> some;
  for (std::size_t i = 0; i < count; ++i) some.push_back(samples[i * samples.size() / count]);
  return some;
}

/// Reads a set of images. Where there are several, their ids begin with the name of their folder.
std::vector<Example> read_set(const std::filesystem::path& path, std::size_t set, bool one_of_several,
                              const TrainOptions& options) {
  Examined examined = read_examined(path, limited(scan_bowl(path, true), options.limit));
  // A run that is resumed began with these data.
  if (!options.resume) refuse_faults(examined.diagnosis, path, options.ignore_faults);
  const std::string folder =
      std::filesystem::absolute(path / ".").lexically_normal().parent_path().filename();
  for (Example& e : examined.examples) {
    if (one_of_several) e.id = folder + '/' + e.id;
    e.set = set;
  }
  return std::move(examined.examples);
}

/// All images: first those of the sets to learn from, then those of sets that are held out.
std::vector<Example> read_sets(const TrainOptions& options) {
  const std::size_t count = options.data.size() + options.validate_on.size();
  std::vector<Example> all;
  for (std::size_t set = 0; set < count; ++set) {
    const bool held_out = set >= options.data.size();
    std::vector<Example> examples =
        read_set(held_out ? options.validate_on[set - options.data.size()] : options.data[set].path, set,
                 count > 1, options);
    std::move(examples.begin(), examples.end(), std::back_inserter(all));
  }
  return all;
}

Split hold_out_sets(const std::vector<Example>& examples, std::size_t sets) {
  Split split;
  for (std::size_t i = 0; i < examples.size(); ++i)
    (examples[i].set < sets ? split.train : split.validation).push_back(i);
  return split;
}

Split hold_out_fold(const std::vector<int>& fold_of, int fold) {
  Split split;
  for (std::size_t i = 0; i < fold_of.size(); ++i)
    (fold_of[i] == fold ? split.validation : split.train).push_back(i);
  return split;
}

std::string split_table(const std::vector<Example>& examples, const std::vector<int>& groups,
                        const std::vector<Modality>& modalities, const Split& split) {
  std::vector<const char*> set(examples.size(), "train");
  for (std::size_t i : split.validation) set[i] = "validation";
  std::string csv = "image,group,modality,set\n";
  for (std::size_t i = 0; i < examples.size(); ++i)
    csv += csv_field(examples[i].id) + ',' + std::to_string(groups[i]) + ',' + name(modalities[i]) + ',' +
           set[i] + '\n';
  return csv;
}

}  // namespace

TrainingData load_data(const TrainOptions& options) {
  std::vector<Example> examples = read_sets(options);
  std::vector<ImageStats> stats;
  std::vector<Modality> modalities;
  for (const Example& e : examples) {
    stats.push_back(image_stats(e.image));
    modalities.push_back(modality(stats.back()));
  }
  const std::vector<int> groups = group_by_similarity(stats);
  const Split split =
      !options.validate_on.empty() ? hold_out_sets(examples, options.data.size())
      : options.folds > 0
          ? hold_out_fold(split_folds(groups, modalities, options.folds, options.seed), options.fold - 1)
          : split_validation(groups, modalities, options.validation, options.seed);
  if (!split.warning.empty()) std::fprintf(stderr, "warning: %s\n", printable(split.warning).c_str());
  TrainingData data;
  data.split_csv = split_table(examples, groups, modalities, split);
  data.fingerprint = std::to_string(std::hash<std::string>{}(data.split_csv));
  for (std::size_t i : split.train) data.training.push_back(std::move(examples[i]));
  for (std::size_t i : split.validation) data.validation.push_back(std::move(examples[i]));
  std::fprintf(stderr, "%zu images in %d groups: %zu to train on, %zu in held-out %s to validate on\n",
               examples.size(), groups.empty() ? 0 : *std::max_element(groups.begin(), groups.end()) + 1,
               data.training.size(), data.validation.size(), options.validate_on.empty() ? "groups" : "sets");
  return data;
}

}  // namespace nuclei
