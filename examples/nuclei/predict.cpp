#include "predict.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "bowl.h"
#include "error.h"
#include "progress.h"
#include "render.h"
#include "report.h"
#include "segmenter.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& path) {
  if (path.filename().string().starts_with('.')) return false;  // what macOS leaves beside real files
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp";
}

bool has_bowl_layout(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && fs::is_directory(entry.path() / "images")) return true;
  return false;
}

std::vector<fs::path> pictures_in(const fs::path& input) {
  if (!fs::exists(input)) throw Failure(input.string() + ": no such file or folder");
  if (!fs::is_directory(input)) return {input};
  std::vector<fs::path> found;
  if (has_bowl_layout(input)) {
    for (const Sample& sample : scan_bowl(input, false)) found.push_back(sample.image);
  } else {
    for (const auto& entry : fs::directory_iterator(input))
      if (entry.is_regular_file() && is_picture(entry.path())) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    if (found.empty())
      throw Failure(input.string() +
                    ": no images here; expected PNG, JPEG or BMP files, or the Data Science Bowl layout");
  }
  return found;
}

// The file's stem, told apart where two inputs share it.
std::string unique_name(const fs::path& file, std::set<std::string>& taken) {
  const std::string stem = file.stem().string();
  std::string name = stem;
  for (int i = 2; !taken.insert(name).second; ++i) name = stem + "-" + std::to_string(i);
  return name;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Failure(folder.string() + ": cannot create the folder: " + error.message());
}

}  // namespace

PredictSummary predict(const fs::path& model, const std::vector<fs::path>& inputs, const fs::path& out,
                       const std::string& device) {
  Segmenter segmenter(model, select_device(device));
  std::vector<fs::path> files;
  for (const fs::path& input : inputs)
    for (const fs::path& file : pictures_in(input)) files.push_back(file);
  make_folder(out / "labels");
  make_folder(out / "overlays");

  PredictSummary summary;
  std::vector<ImageNuclei> table;
  std::set<std::string> taken;
  Progress progress("finding nuclei", static_cast<std::int64_t>(files.size()));
  for (const fs::path& file : files) {
    Image image;
    LabelMap labels;
    try {
      image = read_image(file);
      labels = segmenter(image);
      if (const std::int32_t count = max_label(labels); count > 65535)
        throw Failure(file.string() + ": " + std::to_string(count) +
                      " nuclei do not fit into a 16-bit label image; cut it up");
    } catch (const std::exception& e) {
      std::fprintf(stderr, "\nskipped: %s\n", e.what());
      ++summary.failed;
      continue;
    }
    const std::string name = unique_name(file, taken);
    const std::vector<std::uint16_t> pixels(labels.labels.begin(), labels.labels.end());
    write_png16(out / "labels" / (name + ".png"), labels.width, labels.height, pixels.data());
    const Picture picture = overlay(image, labels);
    write_png8(out / "overlays" / (name + ".png"), picture.width, picture.height, 3, picture.rgb.data());
    table.push_back({name, measure(labels, image)});
    summary.nuclei += table.back().nuclei.size();
    ++summary.images;
    progress.update(static_cast<std::int64_t>(summary.images + summary.failed), name);
  }
  progress.finish();
  if (summary.images > 0) write_nuclei_csv(out / "nuclei.csv", table);
  return summary;
}

}  // namespace nuclei
