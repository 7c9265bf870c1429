#pragma once

#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/bowl.h"

namespace nuclei {

struct AugmentOptions {
  std::int64_t crop = 256;  // side of a training crop, pixels
};

/// Training crops of a set of pictures with true nuclei. One pass gives each picture one crop or more: large
/// pictures, those of small groups (group_by_similarity) and rare modalities come more often. Every crop is
/// turned, scaled, mirrored, bent and re-lit by the generator it is given.
///   get()  input f32 [crop, crop, 3], target [crop, crop, map_count] (the truth, as PixelMaps), weight [crop, crop,
///          map_count] of the cross entropy: more at gaps and in small nuclei
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
