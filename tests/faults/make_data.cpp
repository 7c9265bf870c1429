// make_data FOLDER: a data set, pictures and label images that are small enough for a thousand runs.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "dataset/bowl_layout.h"
#include "dataset/synthetic.h"
#include "imageio/image.h"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: make_data FOLDER\n");
    return 2;
  }
  const std::filesystem::path out = arguments[1];
  std::vector<nuclei::Example> examples;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) examples.push_back(nuclei::make_synthetic(seed, 64, 64));
  nuclei::write_bowl(out / "data", examples);
  std::filesystem::create_directories(out / "pictures");
  std::filesystem::create_directories(out / "labels");
  for (const nuclei::Example& example : examples) {
    nuclei::write_png8(out / "pictures" / (example.id + ".png"), nuclei::to_8_bits(example.image));
    nuclei::Raster<std::uint16_t> labels(example.truth.width, example.truth.height);
    std::ranges::transform(example.truth, labels.begin(),
                           [](std::int32_t label) { return static_cast<std::uint16_t>(label); });
    nuclei::write_png16(out / "labels" / (example.id + ".png"), labels);
  }
}
