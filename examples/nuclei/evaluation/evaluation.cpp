#include "evaluation/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "common/error.h"
#include "instances/components.h"

namespace nuclei {
namespace {

Raster<float> brightness(const Image& image) {
  if (image.empty()) throw Failure("thresholding an image: expected at least one pixel, it is empty");
  Raster<float> grey(image.width, image.height);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const float* pixel = image.pixel(i);
    grey[i] = static_cast<float>(std::accumulate(pixel, pixel + image.channels, 0.0) / image.channels);
  }
  // Holes take the value of another pixel, so that the threshold and its sides stay as they are.
  const auto value = std::ranges::find_if(grey, [](float v) { return std::isfinite(v); });
  const float known = value == grey.end() ? 0 : *value;
  std::ranges::replace_if(
      grey, [](float v) { return !std::isfinite(v); }, known);
  return grey;
}

float threshold_of(const Raster<float>& grey) {
  constexpr std::size_t bin_count = 256;
  const auto [low, high] = std::ranges::minmax(grey);
  if (low == high) return low;
  const double width = (static_cast<double>(high) - low) / bin_count;
  std::array<double, bin_count> count{};
  for (const float value : grey)
    ++count[std::min(bin_count - 1, static_cast<std::size_t>((static_cast<double>(value) - low) / width))];
  double total = 0, total_sum = 0;
  for (std::size_t b = 0; b < bin_count; ++b) {
    total += count[b];
    total_sum += count[b] * static_cast<double>(b);
  }
  // The threshold with the largest variance between its sides is the best.
  double below = 0, below_sum = 0, best = -1;
  std::size_t cut = 0;
  for (std::size_t b = 0; b + 1 < bin_count; ++b) {
    below += count[b];
    below_sum += count[b] * static_cast<double>(b);
    if (below == 0 || below == total) continue;
    const double distance = below_sum / below - (total_sum - below_sum) / (total - below);
    const double between = below * (total - below) * distance * distance;
    if (between > best) best = between, cut = b;
  }
  return static_cast<float>(low + (static_cast<double>(cut) + 0.5) * width);
}

}  // namespace

LabelMap all_background(const Image& image) { return {image.width, image.height}; }

float otsu_threshold(const Image& image) { return threshold_of(brightness(image)); }

LabelMap otsu(const Image& image) {
  const Raster<float> grey = brightness(image);
  const float threshold = threshold_of(grey);
  const auto above =
      static_cast<std::size_t>(std::ranges::count_if(grey, [&](float value) { return value > threshold; }));
  const bool dark_nuclei = 2 * above > grey.size();
  Mask nuclei(image.width, image.height);
  std::ranges::transform(grey, nuclei.begin(),
                         [&](float value) { return (value > threshold) != dark_nuclei; });
  return label_components(nuclei, 16);
}

void Baselines::add(const Example& example) {
  background.push_back(score(example.truth, all_background(example.image)));
  otsu.push_back(score(example.truth, nuclei::otsu(example.image)));
}

bool Evaluation::better(std::size_t a, std::size_t b) const {
  const Scores &x = images_[a].scores, &y = images_[b].scores;
  if (x.bowl != y.bowl) return x.bowl > y.bowl;
  if (x.dice != y.dice) return x.dice > y.dice;
  return a < b;
}

const ImageScores& Evaluation::add(const Example& example, const LabelMap& found, double seconds) {
  ImageScores entry{example.id, modality(image_stats(example.image)), score(example.truth, found),
                    compare(example.truth, found).counts, seconds};
  const Overlaps overlaps = count_overlaps(example.truth, found);
  const auto append = [](std::vector<std::int64_t>& areas, const PerLabel<std::int64_t>& more) {
    std::copy_if(more.begin() + 1, more.end(), std::back_inserter(areas),
                 [](std::int64_t a) { return a > 0; });
  };
  append(true_areas_, overlaps.true_area);
  append(found_areas_, overlaps.predicted_area);
  images_.push_back(std::move(entry));

  const std::size_t index = images_.size() - 1;
  const auto at = std::ranges::find_if(kept_, [&](const Shown& other) { return better(index, other.index); });
  const auto rank = static_cast<std::size_t>(at - kept_.begin());
  if (kept_.size() < 2 * shown_ || rank < shown_ || rank > kept_.size() - shown_) {
    kept_.insert(at, {index, example.image, example.truth, found});
    // The one that now stands in the middle is neither among the best nor among the worst.
    if (kept_.size() > 2 * shown_) kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(shown_));
  }
  return images_.back();
}

std::vector<Scores> Evaluation::scores() const {
  std::vector<Scores> result;
  for (const ImageScores& image : images_) result.push_back(image.scores);
  return result;
}

std::map<Modality, Summary> Evaluation::by_modality(const std::vector<Scores>& scores) const {
  std::map<Modality, std::vector<Scores>> kinds;
  for (std::size_t i = 0; i < images_.size(); ++i) kinds[images_[i].kind].push_back(scores.at(i));
  std::map<Modality, Summary> result;
  for (const auto& [kind, of_kind] : kinds) result[kind] = summarize(of_kind);
  return result;
}

FateCounts Evaluation::fates() const {
  FateCounts sum;
  for (const ImageScores& image : images_) sum += image.fates;
  return sum;
}

std::vector<const Evaluation::Shown*> Evaluation::best() const {
  std::vector<const Shown*> result;
  for (std::size_t i = 0; i < std::min(shown_, kept_.size() - kept_.size() / 2); ++i)
    result.push_back(&kept_[i]);
  return result;
}

std::vector<const Evaluation::Shown*> Evaluation::worst() const {
  std::vector<const Shown*> result;
  for (std::size_t i = 0; i < std::min(shown_, kept_.size() / 2); ++i)
    result.push_back(&kept_[kept_.size() - 1 - i]);
  return result;
}

}  // namespace nuclei
