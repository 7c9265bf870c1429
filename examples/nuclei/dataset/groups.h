#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "imageio/image.h"

namespace nuclei {

/// What tells one experiment's pictures from another's. Brightness values are in [0, 1].
struct ImageStats {
  int width = 0;
  int height = 0;
  bool grey = true;               // one channel, or three that are (nearly) equal
  std::array<float, 3> mean{};    // per channel; a grey picture repeats its one channel
  std::array<float, 3> spread{};  // standard deviation per channel
  float background = 0;           // the most frequent brightness
  bool light_background = false;
};

ImageStats image_stats(const Image& image);

enum class Modality {
  fluorescence,  // grey, bright nuclei on dark
  brightfield,   // grey, dark nuclei on light
  stained,       // colour
};

Modality modality(const ImageStats& stats);
const char* name(Modality modality);

/// Puts pictures that look taken in one experiment (same size and colour kind, close statistics,
/// directly or through a chain of others) into one group. Holding out whole groups keeps
/// near-duplicates of training pictures out of validation.
///   returns  a group number per picture, 0, 1, ... by first appearance
std::vector<int> group_by_similarity(const std::vector<ImageStats>& stats);

/// A random order of 0, ..., count - 1 that depends on the seed alone: a Fisher-Yates shuffle with SplitMix64
/// (Steele, Lea and Flood 2014). Splits use this and not karyon::Generator, so that they never change: the
/// scores in the shipped model's card are those of the images that seed 1 holds out.
std::vector<std::size_t> split_order(std::size_t count, std::uint64_t seed);

/// Indices into the pictures that were split, ascending.
struct Split {
  std::vector<std::size_t> train;
  std::vector<std::size_t> validation;
  std::string warning;  // empty, or why the split is weaker than asked for
};

/// Holds out whole groups until about `fraction` of the pictures of each modality are in
/// validation, or half of its groups. A modality with two or more groups is on both sides, one with a single
/// group is for training. If every modality has one group only, single pictures are held out instead and
/// `warning` says so.
///   groups, modalities  one entry per picture; a group's modality is that of its first picture
/// The same arguments give the same split on every machine. Train is never empty; validation is
/// empty only for a fraction of 0 or fewer than two pictures. Throws Failure if there is no
/// picture, the sizes differ, or fraction is outside [0, 1).
Split split_validation(const std::vector<int>& groups, const std::vector<Modality>& modalities,
                       double fraction, std::uint64_t seed);

/// Deals whole groups out to `folds` folds, each modality evenly: the largest groups first, each to the fold
/// that has the fewest pictures of its modality so far.
///   groups, modalities  one entry per picture; a group's modality is that of its first picture
///   returns             a fold in [0, folds) per picture
/// The same arguments give the same folds on every machine. Throws Failure if there is no picture, the sizes
/// differ, or there are not 2 to as many folds as groups.
std::vector<int> split_folds(const std::vector<int>& groups, const std::vector<Modality>& modalities,
                             int folds, std::uint64_t seed);

}  // namespace nuclei
