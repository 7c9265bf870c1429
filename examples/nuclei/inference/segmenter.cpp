#include "inference/segmenter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numbers>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"

namespace nuclei {

using Json = nlohmann::json;

karyon::Device select_device(const std::string& name) {
  if (name != "auto" && name != "cpu" && name != "cuda")
    throw UsageError("--device: expects auto, cpu or cuda, got '" + name + "'");
  if (name == "cpu") return karyon::Device::cpu();
  const std::string why = karyon::why_unavailable(karyon::DeviceType::cuda);
  if (why.empty()) return karyon::Device::cuda();
  if (name == "cuda") throw Failure("--device cuda: " + why + "; use --device cpu");
  static const bool said =
      std::fprintf(stderr, "nuclei: on the CPU, without CUDA: %s\n", printable(why).c_str()) > 0;
  (void)said;  // once is enough
  return karyon::Device::cpu();
}

karyon::DType select_precision(const std::string& name) {
  if (name != "f32" && name != "bf16")
    throw UsageError("--precision: expects f32 or bf16, got '" + name + "'");
  return name == "bf16" ? karyon::bf16 : karyon::f32;
}

std::filesystem::path default_model() {
  if (const char* chosen = std::getenv("NUCLEI_MODEL"); chosen && *chosen) {
    if (!std::filesystem::exists(chosen))
      throw Failure("NUCLEI_MODEL names " + std::string(chosen) + ", which is not there");
    return chosen;
  }
  // Never below the current folder, where anybody's model may lie.
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  if (!program.is_absolute())
    throw Failure(
        "there is no model: give one with --model or NUCLEI_MODEL (/proc does not say where nuclei lies)");
  const std::filesystem::path file =
      (program / "../share/karyon/pretrained/nuclei.safetensors").lexically_normal();
  if (std::filesystem::exists(file, error)) return file;
  throw Failure("there is no model: give one with --model or NUCLEI_MODEL (looked for " + file.string() +
                ")");
}

std::filesystem::path model_file(const std::filesystem::path& name) {
  return name.empty() || name == "default" ? default_model() : name;
}

namespace {

// The network of a model's file.
std::unique_ptr<karyon::UNet> load_model(const std::filesystem::path& file,
                                         std::map<std::string, std::string>& metadata) {
  try {
    return karyon::load_unet(file, &metadata);
  } catch (const karyon::Error&) {
    bool checkpoint = false;
    try {
      checkpoint = karyon::load_safetensors(file).metadata.contains("nuclei.state");
    } catch (const karyon::Error&) {
      // The file cannot be read at all, and the first error says so.
    }
    if (checkpoint)
      throw Failure(file.string() +
                    ": this is a training checkpoint; the model is model.safetensors beside it");
    throw;
  }
}

// The maps of a picture as one window.
PixelMaps whole_maps(karyon::UNet& model, int width, int height, int zoom, bool tta, const ReadPixels& read) {
  const Tiling whole =
      *plan_tiles(model.options, width, height, std::numeric_limits<std::size_t>::max(), 0, zoom);
  PixelMaps maps(width, height, map_count);
  predict_core(model, whole, width, height, {0, 0, width, height}, tta, read, maps.values.data(),
               static_cast<std::size_t>(width));
  return maps;
}

// The diameter of a disc with the median area of the nuclei, pixels; 0 where there is none.
double median_diameter(const std::vector<LabelMap>& maps) {
  std::vector<std::int64_t> areas;
  for (const LabelMap& map : maps) {
    const PerLabel<std::int64_t> area = label_areas(map);
    areas.insert(areas.end(), area.begin() + 1, area.end());
  }
  if (areas.empty()) return 0;
  const auto middle = areas.begin() + static_cast<std::ptrdiff_t>(areas.size() / 2);
  std::nth_element(areas.begin(), middle, areas.end());
  return 2 * std::sqrt(static_cast<double>(*middle) / std::numbers::pi);
}

}  // namespace

int choose_zoom(karyon::UNet& model, int width, int height, const Levels& levels, const ReadPixels& read) {
  if (levels.light_background()) return 1;
  static constexpr int part_size = 256, parts_per_side = 4;
  // Where parts begin along a side. They are spread evenly, and cover a short side.
  const auto begins = [](int size) {
    const int count = std::clamp((size + part_size / 2) / part_size, 1, parts_per_side),
              free = std::max(0, size - part_size);
    std::vector<int> at;
    for (int i = 0; i < count; ++i)
      at.push_back(count == 1 ? free / 2 : static_cast<int>(std::int64_t{free} * i / (count - 1)));
    return at;
  };
  std::vector<LabelMap> found;
  for (const int y : begins(height))
    for (const int x : begins(width))
      found.push_back(segment(whole_maps(model, std::min(width, part_size), std::min(height, part_size), 1,
                                         false, [&](const Rect& part, float* out) {
                                           read({x + part.x0, y + part.y0, x + part.x1, y + part.y1}, out);
                                         })));
  const double diameter = median_diameter(found);
  return diameter > 0 && diameter < small_diameter ? 2 : 1;
}

PixelMaps predict_maps(karyon::UNet& model, const Image& image, bool tta, int zoom) {
  const Levels levels = find_levels(image);
  const Raster<float> input = normalize(image, levels);
  const auto read = [&](const Rect& part, float* out) {
    for (int y = part.y0; y < part.y1; ++y)
      out = std::copy(&input.at(part.x0, y), input.row(y) + 3 * part.x1, out);
  };
  if (zoom == auto_zoom) zoom = choose_zoom(model, image.width, image.height, levels, read);
  return whole_maps(model, image.width, image.height, zoom, tta, read);
}

std::string to_text(const SegmentOptions& o) {
  // The shortest number that reads as the same float: 0.35, not 0.3499999940395355.
  const auto shortest = [](float value) {
    char digits[32] = {};
    std::to_chars(digits, digits + sizeof digits - 1, value);
    return std::strtod(digits, nullptr);
  };
  return Json{
      {"nucleus", shortest(o.nucleus)}, {"prominence", shortest(o.prominence)}, {"min_area", o.min_area}}
      .dump();
}

SegmentOptions thresholds_from(const std::string& text) {
  return read_json(text, "its thresholds", [](const Json& saved) {
    return SegmentOptions{.nucleus = saved.at("nucleus"),
                          .prominence = saved.at("prominence"),
                          .min_area = saved.at("min_area")};
  });
}

Segmenter::Segmenter(const std::filesystem::path& file, karyon::Device device) {
  model = load_model(file, metadata);
  if (model->options.in_channels != 3 || model->options.out_channels != map_count)
    throw Failure(file.string() + ": expected a network with 3 input channels and " +
                  std::to_string(map_count) + " output channels, this one has " +
                  std::to_string(model->options.in_channels) + " and " +
                  std::to_string(model->options.out_channels) + "; train it with nuclei train");
  if (const auto found = metadata.find(thresholds_key); found != metadata.end()) {
    try {
      thresholds = thresholds_from(found->second);
    } catch (const Failure& e) {
      throw Failure(file.string() + ": " + e.what());
    }
  }
  model->to(device);
  model->eval();
}

LabelMap Segmenter::operator()(const Image& image, bool tta, int zoom) {
  return decode(predict_maps(*model, image, tta, zoom));
}

}  // namespace nuclei
