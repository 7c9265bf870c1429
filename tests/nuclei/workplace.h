#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/synthetic.h"
#include "inference/segmenter.h"
#include "temp_folder.h"

namespace nuclei::test {

namespace fs = std::filesystem;

/// A model of few weights, the next that karyon's generator gives.
inline void save_small_model(const fs::path& file) {
  karyon::save_unet(karyon::UNet({.out_channels = nuclei::map_count, .base_width = 4, .depth = 2}), file);
}

/// The settings of such a model and its training.
inline const std::string small_network = " --crop 32 --batch-size 2 --base-width 4 --depth 2 ";

/// A folder with a small data set and the settings of a training that takes a second or two.
struct Workplace {
  karyon::test::TempFolder folder;
  fs::path root = folder.path(), data = root / "data";
  std::string small = " --data " + data.string() + small_network,
              settings = small + "--epochs 3 --validation 0.3 ";

  Workplace() {
    std::vector<nuclei::Example> examples;
    for (std::uint64_t i = 0; i < 10; ++i)
      examples.push_back(nuclei::make_synthetic(i, 48 + 16 * static_cast<int>(i % 3), 64));
    nuclei::write_bowl(data, examples);
  }
  fs::path model() const {
    const fs::path file = root / "model.safetensors";
    if (!fs::exists(file)) save_small_model(file);
    return file;
  }
  std::string predict(const std::string& input) const {
    return "$nuclei predict --model " + model().string() + " --out " + (root / "out").string() + " " + input;
  }
  fs::path a_picture() const { return data / "synthetic-00000/images/synthetic-00000.png"; }
};

/// A command that is sent a signal as soon as a file exists: twice, as timeout(1) and batch systems do.
inline std::string signalled(const std::string& command, const std::string& signal, const fs::path& file) {
  const std::string kill = "kill -s " + signal + " $p; ";
  return command + " & p=$!; until [ -e " + file.string() + " ] || ! kill -0 $p; do sleep 0.01; done; " +
         kill + kill + "wait $p";
}

inline std::size_t files_in(const fs::path& folder) {
  std::size_t n = 0;
  if (fs::exists(folder))
    for (const auto& entry : fs::recursive_directory_iterator(folder)) n += entry.is_regular_file();
  return n;
}

}  // namespace nuclei::test
