#pragma once

#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/bowl.h"
#include "imageio/source.h"

namespace nuclei {

/// Brightness (mean of the channels) of a picture below which 0.5, 50 and 99.5 % of its pixels lie. In a
/// nearly empty picture the outer two are only noise of the background: then a quarter of the range of all
/// but the most extreme 0.1 % of the pixels lies between the end of that range and the level.
struct Levels {
  float low, middle, high;
  bool light_background() const { return middle - low > high - middle; }
};
Levels find_levels(ImageSource& source);
Levels find_levels(const Image& image);

/// normalize() for some of a picture's pixels, given the levels of all of it.
///   pixels   [count, channels]
///   out      [count, 3]
void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out);

/// Brings every microscope to one look: three channels, find_levels() at 0 and 1, and light
/// on dark: pictures with a light background are inverted.
///   returns  3 channels, values a little beyond [0, 1] at most
Raster<float> normalize(const Image& image);
Raster<float> normalize(const Image& image, const Levels& levels);

struct AugmentOptions {
  std::int64_t crop = 256;  // side of a training crop, pixels
};

/// Training crops of a set of pictures with true nuclei. One pass gives each picture one crop or more: large
/// pictures, those of small groups (group_by_similarity) and rare modalities come more often. Every crop is
/// turned, scaled, mirrored, bent and re-lit by the generator it is given.
///   get()  input f32 [crop, crop, 3], target [crop, crop, map_count] (as PixelMaps, but what is true), weight [crop, crop, map_count] of the cross entropy: more at gaps and in small nuclei
class CropDataset : public karyon::Dataset {
 public:
  CropDataset(const std::vector<Example>& examples, const AugmentOptions& options);
  std::int64_t size() const override { return static_cast<std::int64_t>(order_.size()); }
  std::vector<karyon::Tensor> get(std::int64_t index, karyon::Generator& generator) const override;

 private:
  // What a crop is cut from: 7 bytes a pixel, so that a whole data set stays in memory.
  struct Source {
    bool grey;
    Raster<std::uint8_t> rgb, kind, depth, weight;
  };
  static Source make_source(const Example& example, bool grey);
  AugmentOptions options_;
  std::vector<Source> sources_;
  std::vector<std::size_t> order_;
};

}  // namespace nuclei
