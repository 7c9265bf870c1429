#include "evaluation/evaluation.h"

#include <algorithm>

#include "evaluation/baseline.h"

namespace nuclei {

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
