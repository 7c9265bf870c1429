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
#include "inference/zoom.h"
#include "instances/watershed.h"

namespace nuclei {

/// The device that `--device` names: auto, cpu or cuda. `auto` takes a GPU where there is one. Where there is
/// none, one line on stderr says why, once. Throws UsageError for another name, Failure if there is no such
/// device.
karyon::Device select_device(const std::string& name);

/// What convolutions compute in: f32, tf32 (f32 with products in TF32 on a GPU: sets that for the program), or
/// bf16 (for karyon::AutocastGuard). Throws UsageError for other names.
karyon::DType select_precision(const std::string& name);

/// The model that comes with the program: $NUCLEI_MODEL, or nuclei.safetensors in
/// ../share/karyon/pretrained of the folder that holds the program. The build puts a copy there, and so does
/// the installation; both can be moved. Throws Failure if there is none.
std::filesystem::path default_model();

/// The file of a model that the user names: default_model() for nothing and for "default".
std::filesystem::path model_file(const std::filesystem::path& name);

/// What a model says of a picture, and how large the nuclei are.
struct Seen {
  PixelMaps maps;
  NucleusSize size;
};

/// The model's maps of a picture. The model is in evaluation mode and has map_count outputs.
///   tta   the mean over the picture's eight turned and mirrored versions
Seen predict_maps(karyon::UNet& model, const Image& image, bool tta = false, const SizeOptions& options = {});

/// Separates the nuclei of a whole picture: segment() and drop_fragments().
LabelMap separate(const Seen& seen, const SegmentOptions& thresholds);

/// The median diameter of the nuclei that a model learned from, as its file holds it.
inline constexpr const char* diameter_key = "nuclei.diameter";

/// Thresholds as a model's file holds them.
inline constexpr const char* thresholds_key = "nuclei.thresholds";
std::string to_text(const SegmentOptions& options);
/// Throws Failure if it is not what to_text() wrote.
SegmentOptions thresholds_from(const std::string& text);

/// The largest speck that is ever dropped, pixels.
inline constexpr int most_speck = 64;

/// A trained network and what its file says about it.
struct Segmenter {
  /// Throws Failure if the file is not a network for nuclei (for a training checkpoint it says where the
  /// model is), karyon::Error if it cannot be read.
  Segmenter(const std::filesystem::path& file, karyon::Device device);
  LabelMap operator()(const Image& image, bool tta = false, double zoom = auto_zoom);
  /// How the nuclei of a picture are to be measured.
  ///   zoom  as the user chose it, or auto_zoom
  SizeOptions size_options(double zoom) const;
  /// For segment(). With them nuclei that do not touch, directly or through others, do not influence each
  /// other, and nuclei of more than most_speck pixels are never dropped.
  ///   zoom  how many times larger the network saw the picture: where it was shrunk, specks are larger
  SegmentOptions thresholds_at(double zoom) const;

  std::unique_ptr<karyon::UNet> model;
  std::map<std::string, std::string> metadata;
  SegmentOptions thresholds;
  double learned = 0;  // the median diameter of the nuclei that it learned from; 0 if it does not say
};

}  // namespace nuclei
