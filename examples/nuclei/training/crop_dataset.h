#pragma once

#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/bowl_layout.h"

namespace nuclei {

struct AugmentOptions {
  std::int64_t crop = 256;  // side of a training crop, pixels
};

/// Training crops of a set of pictures with true nuclei. One pass gives each picture one crop or more. Large
/// pictures, pictures of small groups (group_by_similarity) and rare modalities come more often. Every crop
/// is turned, scaled, mirrored, bent and lit anew, all by the generator that get() receives.
///   get()  input   f32 [crop, crop, 3]
///          target  f32 [crop, crop, map_count]: the true PixelMaps
///          weight  f32 [crop, crop, map_count] of the cross entropy: more at gaps and in small nuclei
class CropDataset : public karyon::Dataset {
 public:
  CropDataset(const std::vector<Example>& examples, const AugmentOptions& options);
  std::int64_t size() const override { return static_cast<std::int64_t>(order_.size()); }
  std::vector<karyon::Tensor> get(std::int64_t index, karyon::Generator& generator) const override;

 private:
  // A picture to cut crops from, in few bytes per pixel: a whole data set stays in memory.
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
