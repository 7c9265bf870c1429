#include "dataset/groups.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>

#include <karyon/core/random.h>

#include "common/error.h"
#include "dataset/bowl_layout.h"

using namespace nuclei;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

ImageStats grey(float mean, float background, int width = 256) {
  return {width, 256, true, {mean, mean, mean}, {0.05f, 0.05f, 0.05f}, background};
}

std::size_t count(const std::vector<std::size_t>& images, const std::vector<Modality>& modalities,
                  Modality kind) {
  return static_cast<std::size_t>(
      std::ranges::count_if(images, [&](std::size_t i) { return modalities[i] == kind; }));
}

void check_partition(const Split& split, std::size_t total) {
  std::set<std::size_t> all(split.train.begin(), split.train.end());
  all.insert(split.validation.begin(), split.validation.end());
  CHECK(all.size() == total);
  CHECK(split.train.size() + split.validation.size() == total);
  CHECK(std::ranges::is_sorted(split.train));
  CHECK(std::ranges::is_sorted(split.validation));
}

}  // namespace

TEST_CASE("nuclei: statistics tell the modality", "[nuclei][groups]") {
  const ImageStats dark = image_stats({2, 2, 1, {0, 0, 0, 1}});
  CHECK(dark.grey);
  CHECK(dark.background == 0);
  CHECK(dark.mean[2] == Approx(0.25));
  CHECK(dark.spread[0] == Approx(std::sqrt(3.0) / 4));
  CHECK(modality(dark) == Modality::fluorescence);
  CHECK(modality(image_stats({2, 1, 3, {1, 1, 1, 0.9f, 0.9f, 0.9f}})) == Modality::brightfield);
  CHECK(modality(image_stats({1, 1, 3, {0.9f, 0.6f, 0.8f}})) == Modality::stained);
  CHECK_THROWS_AS(image_stats({}), Failure);
}

TEST_CASE("nuclei: the scale of a deep image says nothing of its modality", "[nuclei][groups]") {
  // A camera's offset of 500 and nuclei of 700, on the scale of 1023.
  std::vector<float> values(10000, 500 / 1023.0f);
  std::fill_n(values.begin(), 1500, 700 / 1023.0f);
  Image image(100, 100, 1, values);
  image.bit_depth = 16;
  CHECK(modality(image_stats(image)) == Modality::fluorescence);
  for (float& value : image) value = 1200 / 1023.0f - value;
  CHECK(modality(image_stats(image)) == Modality::brightfield);
  image.values.assign(image.size(), 0.5f);  // flat
  CHECK(modality(image_stats(image)) == Modality::brightfield);
  image.values = values;
  image.bit_depth = 8;  // as a screen shows it
  CHECK(modality(image_stats(image)) == Modality::brightfield);
}

TEST_CASE("nuclei: similar images share a group, also through a chain", "[nuclei][groups]") {
  std::vector<ImageStats> stats{grey(0.10f, 0.05f), grey(0.40f, 0.05f), grey(0.10f, 0.05f, 300),
                                grey(0.101f, 0.05f), grey(0.10f, 0.20f)};
  CHECK(group_by_similarity(stats) == std::vector<int>{0, 1, 2, 0, 3});
  std::vector<ImageStats> chain;
  for (int i = 0; i < 20; ++i) chain.push_back(grey(0.1f + 0.01f * static_cast<float>(i), 0.05f));
  std::ranges::reverse(chain);
  CHECK(group_by_similarity(chain) == std::vector<int>(20, 0));
  CHECK(group_by_similarity({}).empty());
}

TEST_CASE("nuclei: a split's random order never changes", "[nuclei][groups]") {
  CHECK(split_order(10, 1) == std::vector<std::size_t>{4, 2, 8, 1, 9, 3, 0, 6, 7, 5});
  CHECK(split_order(6, 42) == std::vector<std::size_t>{4, 3, 0, 2, 5, 1});
  CHECK(split_order(1, 1) == std::vector<std::size_t>{0});
  CHECK(split_order(0, 1).empty());
}

TEST_CASE("nuclei: whole groups of every modality are held out", "[nuclei][groups]") {
  karyon::Generator random(4);
  std::vector<int> groups;
  std::vector<Modality> modalities;
  const std::array kinds{Modality::fluorescence, Modality::brightfield, Modality::stained};
  for (int group = 0; group < 45; ++group) {
    for (std::int64_t k = 1 + random.below(12); k > 0; --k) {
      groups.push_back(group);
      modalities.push_back(kinds[static_cast<std::size_t>(group) % 3]);
    }
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Split split = split_validation(groups, modalities, 0.2, seed);
    check_partition(split, groups.size());
    CHECK(split.warning.empty());
    std::set<int> train_groups, shared;
    for (const std::size_t i : split.train) train_groups.insert(groups[i]);
    for (const std::size_t i : split.validation) {
      if (train_groups.contains(groups[i])) shared.insert(groups[i]);
    }
    CHECK(shared.empty());
    for (const Modality kind : kinds) {
      CHECK(count(split.train, modalities, kind) > 0);
      CHECK(count(split.validation, modalities, kind) > 0);
    }
    CHECK(static_cast<double>(split.validation.size()) ==
          Approx(0.2 * static_cast<double>(groups.size())).margin(18));  // half a group of 12 per modality
    const Split again = split_validation(groups, modalities, 0.2, seed);
    CHECK(again.validation == split.validation);
  }
  CHECK(split_validation(groups, modalities, 0, 1).validation.empty());
  CHECK(split_validation(groups, modalities, 0.2, 1).validation !=
        split_validation(groups, modalities, 0.2, 2).validation);
}

TEST_CASE("nuclei: where two groups are large, half of the small ones stay for training",
          "[nuclei][groups]") {
  std::vector<int> groups;
  for (int group = 0; group < 10; ++group) groups.insert(groups.end(), group < 2 ? 40 : 1, group);
  const std::vector<Modality> modalities(groups.size(), Modality::stained);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Split split = split_validation(groups, modalities, 0.15, seed);
    check_partition(split, groups.size());
    CHECK(split.validation.size() == 5);
  }
}

TEST_CASE("nuclei: folds hold whole groups and have about the same size", "[nuclei][groups]") {
  karyon::Generator random(5);
  std::vector<int> groups;
  std::vector<Modality> modalities;
  for (int group = 0; group < 40; ++group) {
    for (std::int64_t k = 1 + random.below(12); k > 0; --k) {
      groups.push_back(group);
      modalities.push_back(group % 4 == 0 ? Modality::stained : Modality::fluorescence);
    }
  }
  const std::vector<int> folds = split_folds(groups, modalities, 5, 1);
  REQUIRE(folds.size() == groups.size());
  for (const Modality kind : {Modality::stained, Modality::fluorescence}) {
    std::array<std::size_t, 5> size{};
    for (std::size_t i = 0; i < folds.size(); ++i) {
      CHECK((i == 0 || groups[i] != groups[i - 1] || folds[i] == folds[i - 1]));
      if (modalities[i] == kind) ++size.at(static_cast<std::size_t>(folds[i]));
    }
    const auto [least, most] = std::ranges::minmax(size);
    CHECK(least > 0);
    CHECK(most - least <= 12);  // a group
  }
  CHECK(split_folds(groups, modalities, 5, 1) == folds);
  CHECK(split_folds(groups, modalities, 5, 2) != folds);
  CHECK_THROWS_AS(split_folds({0, 0}, {Modality::stained, Modality::stained}, 2, 1), Failure);
  CHECK_THROWS_AS(split_folds(groups, modalities, 1, 1), Failure);
  CHECK_THROWS_AS(split_folds({}, {}, 2, 1), Failure);
}

TEST_CASE("nuclei: splits that cannot be as asked for say so", "[nuclei][groups]") {
  const auto same = [](std::size_t n) { return std::vector(n, Modality::stained); };
  const Split single = split_validation(std::vector<int>(10, 0), same(10), 0.2, 1);
  check_partition(single, 10);
  CHECK(single.validation.size() == 2);
  CHECK_THAT(single.warning, Contains("look alike"));

  const Split lone = split_validation({0}, same(1), 0.5, 1);
  CHECK((lone.train.size() == 1 && lone.validation.empty()));
  CHECK_THAT(lone.warning, Contains("too few"));

  const Split pair = split_validation({0, 1}, same(2), 0.01, 1);
  CHECK((pair.train.size() == 1 && pair.validation.size() == 1));

  std::vector<Modality> mixed = same(3);
  mixed[2] = Modality::brightfield;
  CHECK_THAT(split_validation({0, 1, 2}, mixed, 0.3, 1).warning, Contains("all brightfield"));

  CHECK_THROWS_AS(split_validation({}, {}, 0.1, 1), Failure);
  CHECK_THROWS_AS(split_validation({0}, same(2), 0.1, 1), Failure);
  CHECK_THROWS_AS(split_validation({0}, same(1), 1, 1), Failure);
}

TEST_CASE("nuclei: the Data Science Bowl set is scanned, grouped and split", "[nuclei][groups][data]") {
  const char* folder = std::getenv("KARYON_DSB2018");
  if (!folder || !fs::is_directory(fs::path(folder) / "stage1_train")) {
    WARN("skipped: KARYON_DSB2018 does not name a folder with stage1_train in it");
    return;
  }
  const std::vector<Sample> samples = scan_bowl(fs::path(folder) / "stage1_train", true);
  REQUIRE(samples.size() == 664);
  std::vector<ImageStats> stats;
  std::vector<Modality> modalities;
  for (const Sample& sample : samples) {
    stats.push_back(image_stats(read_image(sample.image)));
    modalities.push_back(modality(stats.back()));
  }
  CHECK(std::ranges::count(modalities, Modality::fluorescence) > 500);
  CHECK(std::ranges::count(modalities, Modality::brightfield) == 16);
  CHECK(std::ranges::count(modalities, Modality::stained) > 100);

  const std::vector<int> groups = group_by_similarity(stats);
  std::map<int, std::size_t> sizes;
  for (const int group : groups) ++sizes[group];
  CHECK(sizes.size() > 30);
  CHECK(sizes.size() < 100);
  for (const auto& [group, size] : sizes) CHECK(size < samples.size() * 3 / 10);

  const Split split = split_validation(groups, modalities, 0.15, 1);
  check_partition(split, samples.size());
  CHECK(split.validation.size() > 70);
  CHECK(split.validation.size() < 130);
  CHECK(count(split.validation, modalities, Modality::brightfield) > 0);

  const Example example = read_example(samples.front());
  CHECK(max_label(example.truth) == static_cast<std::int32_t>(samples.front().masks.size()));
}

TEST_CASE("nuclei: holes do not count in what is known of an image", "[nuclei][groups]") {
  Image image(8, 4, 1, std::vector<float>(32, 0.25f));
  const ImageStats known = image_stats(image);
  image[3] = std::numeric_limits<float>::quiet_NaN();
  image[9] = -std::numeric_limits<float>::infinity();
  const ImageStats stats = image_stats(image);
  CHECK(stats.mean == known.mean);
  CHECK(stats.background == known.background);
  std::ranges::fill(image, std::numeric_limits<float>::quiet_NaN());
  CHECK(image_stats(image).mean[0] == 0);
}
