#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataset/bowl_layout.h"
#include "dataset/groups.h"
#include "evaluation/metrics.h"
#include "evaluation/overlap.h"

namespace nuclei {

/// What a model must beat to be worth its training: two answers that know nothing of nuclei.

/// No nucleus anywhere.
LabelMap all_background(const Image& image);

/// The threshold between two kinds of brightness that lie closest to their own means (Otsu 1979): the centre
/// of one of 256 equal bins between the darkest and the lightest pixel. A constant image has its one value.
float otsu_threshold(const Image& image);

/// The 4-connected parts above Otsu's threshold, or those up to it where the lighter side is the larger one:
/// nuclei are taken to cover less than half. Parts below 16 pixels are left out.
LabelMap otsu(const Image& image);

/// One image, scored.
struct ImageScores {
  std::string id;
  Modality kind = Modality::fluorescence;
  Scores scores;
  FateCounts fates;
  double seconds = 0;  // what finding its nuclei took
};

/// The two answers that need no model.
struct Baselines {
  std::vector<Scores> background, otsu;  // by image

  void add(const Example& example);
};

/// What is known of a model's answers to a set of images: the scores of all, and the pictures of the best and
/// the worst few.
class Evaluation {
 public:
  /// `shown` is how many of the best images are kept for looking at, and how many of the worst.
  explicit Evaluation(std::size_t shown = 6) : shown_(shown) {}

  /// Scores an answer. Throws Failure if the sizes disagree.
  const ImageScores& add(const Example& example, const LabelMap& found, double seconds = 0);

  const std::vector<ImageScores>& images() const { return images_; }
  std::vector<Scores> scores() const;
  /// The summary of all images, and of each kind that occurs.
  Summary summary() const { return summarize(scores()); }
  std::map<Modality, Summary> by_modality() const { return by_modality(scores()); }
  /// The same for other scores of these images, one per image.
  std::map<Modality, Summary> by_modality(const std::vector<Scores>& scores) const;

  FateCounts fates() const;                                                    // of all images
  const std::vector<std::int64_t>& true_areas() const { return true_areas_; }  // of all nuclei, pixels
  const std::vector<std::int64_t>& found_areas() const { return found_areas_; }

  /// An image that is kept for looking at.
  struct Shown {
    std::size_t index;  // in images()
    Image image;
    LabelMap truth, found;
  };
  /// Best first, worst first; by Bowl score, then by Dice. An image is in one of them at most.
  std::vector<const Shown*> best() const;
  std::vector<const Shown*> worst() const;

 private:
  bool better(std::size_t a, std::size_t b) const;

  std::size_t shown_;
  std::vector<ImageScores> images_;
  std::vector<std::int64_t> true_areas_, found_areas_;
  std::vector<Shown> kept_;  // best first: the first and the last shown_ of all
};

}  // namespace nuclei
