#pragma once

#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

#include "dataset/bowl_layout.h"

namespace nuclei {

struct AugmentOptions {
  std::int64_t crop = 256;      // side of a training crop, pixels
  double diameter = 0;          // of a picture's median nucleus in its crops, pixels; 0: as it is
  std::vector<double> weights;  // of the crops of each set; those of sets beyond are 1
};

/// Training crops of a set of pictures with true nuclei. One pass gives each picture one crop or more. Large
/// pictures, pictures of small groups (group_by_similarity) and rare modalities come more often. Every crop
/// is turned, scaled, mirrored, bent and lit anew, all by the generator that get() receives. Sizes vary
/// around that of the picture, or around the one where its nuclei have the diameter that is asked for.
///   get()  input   f32 [crop, crop, 3]
///          target  f32 [crop, crop, map_count]: the true PixelMaps
///          weight  f32 [crop, crop, map_count] of the cross entropy: more at gaps and in small nuclei
class CropDataset : public karyon::Dataset {
 public:
  CropDataset(const std::vector<Example>& examples, const AugmentOptions& options);
  std::int64_t size() const override { return static_cast<std::int64_t>(order_.size()); }
  std::vector<karyon::Tensor> get(std::int64_t index, karyon::Generator& generator) const override;

  /// How many crops one pass has of a set's pictures.
  std::int64_t crops_of(std::size_t set) const;
  /// The median diameter of nuclei in the crops, before their sizes vary, in pixels.
  double diameter() const { return diameter_; }

 private:
  // A picture to cut crops from, in few bytes per pixel: a whole data set stays in memory.
  struct Source {
    std::size_t set;
    bool grey;
    double scale;  // its pixels per crop pixel, before sizes vary
    Raster<std::uint8_t> rgb, kind, depth, weight;
  };
  static Source make_source(const Example& example, bool grey, double scale);
  AugmentOptions options_;
  std::vector<Source> sources_;
  std::vector<std::size_t> order_;
  double diameter_ = 0;
};

}  // namespace nuclei
