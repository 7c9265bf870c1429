#include "dataset/synthetic.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "common/error.h"
#include "dataset/groups.h"
#include "instances/measure.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

double mean_where(const Example& example, bool nucleus) {
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < example.truth.size(); ++i) {
    if ((example.truth[i] != 0) != nucleus) continue;
    const float* pixel = example.image.pixel(i);
    sum += std::accumulate(pixel, pixel + example.image.channels, 0.0);
    count += example.image.depth();
  }
  return sum / static_cast<double>(count);
}

}  // namespace

TEST_CASE("nuclei: one seed gives one picture, another seed another", "[nuclei][synthetic]") {
  const Example a = make_synthetic(7, 96, 64), b = make_synthetic(7, 96, 64);
  CHECK(a.id == "synthetic-00007");
  CHECK(a.image.values == b.image.values);
  CHECK(a.truth == b.truth);
  CHECK(make_synthetic(8, 96, 64).truth != a.truth);
}

TEST_CASE("nuclei: pictures have nuclei and the look of their style", "[nuclei][synthetic]") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (const Style style : {Style::fluorescence, Style::stained}) {
      const bool stained = style == Style::stained;
      const Example example = make_synthetic(seed, 160, 128, style);
      REQUIRE(example.image.channels == (stained ? 3 : 1));
      REQUIRE(example.image.size() == 160 * 128 * example.image.depth());
      CHECK(std::ranges::all_of(example.image, [](float v) { return v >= 0 && v <= 1; }));
      const std::int32_t count = max_label(example.truth);
      CHECK(count >= 3);
      CHECK(measure(example.truth, example.image).size() == static_cast<std::size_t>(count));
      const double contrast = mean_where(example, true) - mean_where(example, false);
      CHECK((stained ? -contrast : contrast) > 0.05);
      CHECK(modality(image_stats(example.image)) == (stained ? Modality::stained : Modality::fluorescence));
    }
  }
}

TEST_CASE("nuclei: mixed draws both styles", "[nuclei][synthetic]") {
  int stained = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    stained += make_synthetic(seed, 32, 32).image.channels == 3;
  }
  CHECK(stained > 4);
  CHECK(stained < 24);
}

TEST_CASE("nuclei: examples come back from disk as they were", "[nuclei][synthetic]") {
  const TempFolder folder;
  const std::vector<Example> examples{make_synthetic(1, 64, 48, Style::fluorescence),
                                      make_synthetic(2, 48, 64, Style::stained)};
  write_bowl(folder / "new/data", examples);
  const std::vector<Sample> samples = scan_bowl(folder / "new/data", true);
  REQUIRE(samples.size() == 2);
  for (std::size_t k = 0; k < 2; ++k) {
    const Example back = read_example(samples[k]);
    CHECK(back.id == examples[k].id);
    CHECK(back.truth == examples[k].truth);
    REQUIRE(back.image.channels == 3);
    for (std::size_t i = 0; i < back.truth.size(); ++i)
      REQUIRE(back.image.pixel(i)[0] == examples[k].image.pixel(i)[0]);
  }
  CHECK_THROWS_WITH(write_bowl(folder / "new/data", examples), Contains("exists already"));
  write_file(folder / "file", "");
  CHECK_THROWS_AS(write_bowl(folder / "file", examples), Failure);
}

TEST_CASE("nuclei: sizes that make no picture are refused", "[nuclei][synthetic]") {
  CHECK_THROWS_AS(make_synthetic(1, 31, 64), Failure);
  CHECK_THROWS_AS(make_synthetic(1, 64, -1), Failure);
  CHECK_THROWS_AS(make_synthetic(1, 1 << 20, 1 << 20), Failure);
}
