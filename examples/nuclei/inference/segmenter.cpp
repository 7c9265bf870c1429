#include "inference/segmenter.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"
#include "instances/measure.h"

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
  if (name != "f32" && name != "tf32" && name != "bf16")
    throw UsageError("--precision: expects f32, tf32 or bf16, got '" + name + "'");
  karyon::set_float32_matmul_precision(name == "tf32" ? "high" : "highest");
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

}  // namespace

Seen predict_maps(karyon::UNet& model, const Image& image, bool tta, const SizeOptions& options) {
  const Levels levels = find_levels(image);
  const Raster<float> input = normalize(image, levels);
  Seen seen;
  seen.size = choose_zoom(model, input.width, input.height, levels, pixels_of(input), options);
  seen.maps = whole_maps(model, input, seen.size.zoom, tta);
  return seen;
}

LabelMap separate(const Seen& seen, const SegmentOptions& thresholds) {
  LabelMap map = segment(seen.maps, thresholds);
  drop_fragments(map, thresholds.fragment * seen.size.typical);
  return map;
}

std::string to_text(const SegmentOptions& o) {
  // The shortest number that reads as the same float: 0.35, not 0.3499999940395355.
  const auto shortest = [](float value) {
    char digits[32] = {};
    std::to_chars(digits, digits + sizeof digits - 1, value);
    return std::strtod(digits, nullptr);
  };
  return Json{{"nucleus", shortest(o.nucleus)},
              {"prominence", shortest(o.prominence)},
              {"min_area", o.min_area},
              {"fragment", shortest(o.fragment)}}
      .dump();
}

SegmentOptions thresholds_from(const std::string& text) {
  return read_json(text, "its thresholds", [](const Json& saved) {
    return SegmentOptions{.nucleus = saved.at("nucleus"),
                          .prominence = saved.at("prominence"),
                          .min_area = saved.at("min_area"),
                          .fragment = saved.value("fragment", 0.0f)};
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
  if (const auto found = metadata.find(diameter_key); found != metadata.end())
    learned = std::max(0.0, std::strtod(found->second.c_str(), nullptr));
  model->to(device);
  model->eval();
}

LabelMap Segmenter::operator()(const Image& image, bool tta, double zoom) {
  const Seen seen = predict_maps(*model, image, tta, size_options(zoom));
  LabelMap map = separate(seen, thresholds_at(seen.size.zoom));
  drop_unseen(map, image.channels, image.values.data());
  return map;
}

SizeOptions Segmenter::size_options(double zoom) const {
  return {.zoom = zoom, .learned = learned, .typical = thresholds.fragment > 0};
}

SegmentOptions Segmenter::thresholds_at(double zoom) const {
  SegmentOptions options = thresholds;
  if (zoom < 1)
    options.min_area =
        std::max(options.min_area, std::min(most_speck, static_cast<int>(options.min_area / (zoom * zoom))));
  return options;
}

}  // namespace nuclei
