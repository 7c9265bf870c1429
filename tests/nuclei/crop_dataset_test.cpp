#include "training/crop_dataset.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "inference/zoom.h"
#include "instances/components.h"
#include "instances/watershed.h"

using namespace nuclei;

TEST_CASE("nuclei: crops have the asked size, sane values, and depend on their generator alone") {
  std::vector<Example> examples;
  for (std::uint64_t i = 0; i < 4; ++i)
    examples.push_back(make_synthetic(i, 40 + 30 * static_cast<int>(i), 64));
  const CropDataset crops(examples, {.crop = 48});  // larger than the first picture
  REQUIRE(crops.size() >= 4);
  for (std::int64_t i = 0; i < crops.size(); ++i) {
    karyon::Generator one(9, 100), same(9, 100), other(10, 100);
    const auto a = crops.get(i, one), b = crops.get(i, same), c = crops.get(i, other);
    CHECK(a[0].shape() == karyon::Shape{48, 48, 3});
    CHECK(a[1].shape() == karyon::Shape{48, 48, map_count});
    CHECK(a[2].shape() == karyon::Shape{48, 48, map_count});
    for (std::size_t t = 0; t < 3; ++t) CHECK(a[t].to_vector<float>() == b[t].to_vector<float>());
    CHECK(a[0].to_vector<float>() != c[0].to_vector<float>());
    for (const float v : a[0].to_vector<float>()) CHECK((std::isfinite(v) && std::abs(v) < 5));
    const std::vector<float> target = a[1].to_vector<float>();
    for (std::size_t k = 0; k < target.size(); k += 3) {
      CHECK((target[k] == 0 || target[k] == 1));
      CHECK((target[k + 1] == 0 || target[k + 1] == 1));
      CHECK((target[k + 2] > 0) == (target[k] > 0));  // depth: inside only
      CHECK(target[k + 2] <= 1);
    }
    for (const float v : a[2].to_vector<float>()) CHECK((v >= 1 && v <= 16));
  }
}

TEST_CASE("nuclei: a crop keeps picture and target together") {
  // Bright where the target is 1: after any turn and scale the bright pixels must still be the targets.
  Example e{"", Image(96, 96), LabelMap(96, 96)};
  for (int y = 0; y < 96; ++y)
    for (int x = 0; x < 96; ++x) {
      const bool inside = (x - 30) * (x - 30) + (y - 60) * (y - 60) < 15 * 15;
      e.image.at(x, y) = inside ? 0.9f : 0.1f;
      e.truth.at(x, y) = inside;
    }
  const CropDataset crops({e}, {.crop = 64});
  int with_nucleus = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    karyon::Generator generator(seed);
    const auto crop = crops.get(0, generator);
    const auto input = crop[0].to_vector<float>(), target = crop[1].to_vector<float>();
    double inside = 0, outside = 0, n = 0;
    const std::size_t pixels = target.size() / 3;
    for (std::size_t i = 0; i < pixels; ++i) {
      (target[3 * i] > 0 ? inside : outside) += static_cast<double>(input[3 * i]);
      n += static_cast<double>(target[3 * i]);
    }
    if (n < 30 || static_cast<double>(pixels) - n < 30) continue;
    ++with_nucleus;
    // Inverted now and then, but never unrelated.
    CHECK(std::abs(inside / n - outside / (static_cast<double>(pixels) - n)) > 0.3);
  }
  CHECK(with_nucleus > 10);
}

TEST_CASE("nuclei: what is rare in a set is cut oftener") {
  // 27 pictures of one experiment, one of another, one of stained tissue.
  std::vector<Example> examples(27, make_synthetic(1, 64, 64, Style::fluorescence));
  const auto crops = [&] { return CropDataset(examples, {.crop = 64}).size(); };
  CHECK(crops() == 27);
  examples.push_back(make_synthetic(2, 64, 48, Style::fluorescence));
  CHECK(crops() == 27 + 3);  // the cube root of 27
  examples.push_back(make_synthetic(3, 64, 64, Style::stained));
  CHECK(crops() == 27 + 3 + 3 * 3);  // and a rare modality at most three times as often
}

TEST_CASE("nuclei: sets have weights") {
  std::vector<Example> examples(8, make_synthetic(1, 64, 64, Style::fluorescence));
  for (std::size_t i = 4; i < 8; ++i) examples[i].set = 1;
  const CropDataset equal(examples, {.crop = 64});
  CHECK(equal.crops_of(0) == 4);
  CHECK(equal.crops_of(1) == 4);
  CHECK(equal.crops_of(2) == 0);
  const CropDataset more(examples, {.crop = 64, .weights = {1, 3}});
  CHECK(more.crops_of(0) == 4);
  CHECK(more.crops_of(1) == 12);
  const CropDataset less(examples, {.crop = 64, .weights = {0.5}});  // no picture is left out
  CHECK(less.crops_of(0) == 4);
  CHECK(less.crops_of(1) == 8);
}

namespace {

// A picture of discs in rows.
Example discs(int diameter, std::size_t set) {
  const int side = 6 * diameter;
  Example e{"", Image(side, side), LabelMap(side, side), set};
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const int cell = 3 * diameter / 2, dx = x % cell - cell / 2, dy = y % cell - cell / 2;
      const bool inside = 4 * (dx * dx + dy * dy) < diameter * diameter;
      e.image.at(x, y) = inside ? 0.9f : 0.1f;
      e.truth.at(x, y) = inside ? 1 + x / cell + 4 * (y / cell) : 0;
    }
  return e;
}

// The median diameter of the nuclei in many crops of a picture, on a logarithmic scale.
double usual_diameter(const CropDataset& crops, std::int64_t index) {
  std::vector<double> logarithms;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    karyon::Generator generator(seed);
    const auto target = crops.get(index, generator)[1].to_vector<float>();
    const int side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(target.size()) / map_count)));
    Mask mask(side, side);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = target[map_count * i] > 0;
    const LabelMap parts = label_components(mask);
    PerLabel<std::int64_t> area = label_areas(parts);
    for (int i = 0; i < side; ++i)  // those that are cut
      area[parts.at(i, 0)] = area[parts.at(i, side - 1)] = area[parts.at(0, i)] =
          area[parts.at(side - 1, i)] = 0;
    const double diameter = median_diameter({area.begin() + 1, area.end()});
    if (diameter > 0) logarithms.push_back(std::log(diameter));
  }
  std::ranges::sort(logarithms);
  return std::exp(logarithms.at(logarithms.size() / 2));
}

}  // namespace

TEST_CASE("nuclei: crops bring the nuclei of all pictures to one size") {
  const std::vector<Example> examples{discs(12, 0), discs(24, 0), discs(96, 1)};
  const CropDataset crops(examples, {.crop = 160, .diameter = 24});
  CHECK(crops.diameter() == 24);
  // Sizes vary by factors of 0.55 to 1.7, around 0.97. The median of 40 draws strays by a tenth.
  for (std::int64_t i = 0; i < 3; ++i) {
    INFO(i);
    const double diameter = usual_diameter(crops, crops.size() / 3 * i);
    CHECK(diameter > 24 * 0.75);
    CHECK(diameter < 24 * 1.35);
  }
  const CropDataset as_they_are(examples, {.crop = 160});
  CHECK(as_they_are.diameter() == Approx(24).epsilon(0.05));
  CHECK(usual_diameter(as_they_are, 0) < 24 * 0.75);
  // A picture without nuclei is scaled like its set.
  std::vector<Example> empty{discs(48, 0), discs(48, 0)};
  std::ranges::fill(empty[1].truth, 0);
  const CropDataset both(empty, {.crop = 64, .diameter = 24});
  karyon::Generator generator(1);
  for (std::int64_t i = 0; i < both.size(); ++i)
    for (const float v : both.get(i, generator)[0].to_vector<float>()) CHECK(std::isfinite(v));
}
