#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <karyon/karyon.h>

#include "imageio/image.h"
#include "inference/normalize.h"
#include "inference/windows.h"
#include "instances/watershed.h"

namespace nuclei {

/// The device that `--device` names: auto, cpu or cuda. `auto` takes a GPU where there is one. Where there is
/// none, one line on stderr says why, once. Throws UsageError for another name, Failure if there is no such
/// device.
karyon::Device select_device(const std::string& name);

/// What convolutions compute in: f32, or bf16 (karyon::AutocastGuard). Throws UsageError for other names.
karyon::DType select_precision(const std::string& name);

/// The model that comes with the program: $NUCLEI_MODEL, or nuclei.safetensors in
/// ../share/karyon/pretrained of the folder that holds the program. The build puts a copy there, and so does
/// the installation; both can be moved. Throws Failure if there is none.
std::filesystem::path default_model();

/// The file of a model that the user names: default_model() for nothing and for "default".
std::filesystem::path model_file(const std::filesystem::path& name);

/// The model separates touching nuclei best if they are 20 to 60 pixels wide. So it sees a picture of smaller
/// ones enlarged.
inline constexpr double small_diameter = 22;  // pixels
inline constexpr int auto_zoom = 0;           // as choose_zoom() says

/// How many times larger the model should see a picture: 2 if the background is dark and nuclei are small,
/// else 1. Nuclei are small if the median of those in up to 16 parts of the picture, as a disc, is below
/// small_diameter. On a light background (stained tissue, brightfield) enlarging did not help.
///   read  gives normalized pixels; it is asked for parts by ascending rows
int choose_zoom(karyon::UNet& model, int width, int height, const Levels& levels, const ReadPixels& read);

/// The model's maps of a picture. The model is in evaluation mode and has map_count outputs.
///   tta   the mean over the picture's eight turned and mirrored versions
///   zoom  how many times larger the model sees the picture: 1, 2 or auto_zoom
PixelMaps predict_maps(karyon::UNet& model, const Image& image, bool tta = false, int zoom = auto_zoom);

/// Thresholds as a model's file holds them.
inline constexpr const char* thresholds_key = "nuclei.thresholds";
std::string to_text(const SegmentOptions& options);
/// Throws Failure if it is not what to_text() wrote.
SegmentOptions thresholds_from(const std::string& text);

/// A trained network and what its file says about it.
struct Segmenter {
  /// Throws Failure if the file is not a network for nuclei (for a training checkpoint it says where the
  /// model is), karyon::Error if it cannot be read.
  Segmenter(const std::filesystem::path& file, karyon::Device device);
  LabelMap operator()(const Image& image, bool tta = false, int zoom = auto_zoom);
  /// Separates the nuclei in the network's maps. Nuclei that do not touch, directly or through others, do not
  /// influence each other.
  LabelMap decode(const PixelMaps& maps) const { return segment(maps, thresholds); }

  std::unique_ptr<karyon::UNet> model;
  std::map<std::string, std::string> metadata;
  SegmentOptions thresholds;
};

}  // namespace nuclei
