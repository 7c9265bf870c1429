#include "training/validation.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/progress.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "inference/segmenter.h"
#include "training/step.h"

namespace nuclei {
namespace {

using Clock = std::chrono::steady_clock;

// What a rank tells the others about an image, beside the nuclei.
struct Answer {
  double loss = 0, seconds = 0, network = 0;
};

}  // namespace

std::optional<Validation> validate(karyon::UNet& model, const std::vector<Example>& images,
                                   const SegmentOptions& rules, const SizeOptions& size) {
  Validation result;
  if (images.empty()) return result;
  const auto start = Clock::now();
  const auto ranks = static_cast<std::size_t>(Ranks::size()), rank = static_cast<std::size_t>(Ranks::rank());
  Progress progress("validating", static_cast<std::int64_t>(images.size()));
  // Round by round: each rank looks at one image, then all get what each has found.
  for (std::size_t begin = 0; begin < images.size(); begin += ranks) {
    LabelMap own;
    Answer answer;
    if (begin + rank < images.size()) {
      const Example& e = images[begin + rank];
      const auto at = Clock::now();
      const Seen seen = predict_maps(model, e.image, false, size);
      answer.network = seconds_since(at);
      own = separate(seen, rules);
      answer.seconds = seconds_since(at);
      answer.loss = cross_entropy(seen.maps, e.truth);
    }
    for (std::size_t i = begin; i < std::min(begin + ranks, images.size()); ++i) {
      const auto owner = static_cast<int>(i - begin);
      const bool mine = i - begin == rank;
      LabelMap found = mine ? std::move(own) : LabelMap(images[i].truth.width, images[i].truth.height);
      Answer told = answer;
      Ranks::share(&told, sizeof told, owner);
      Ranks::share(found.values.data(), found.pixels() * sizeof(std::int32_t), owner);
      result.evaluation.add(images[i], found, told.seconds);
      result.loss += told.loss;
      result.network += told.network;
    }
    progress.update(static_cast<std::int64_t>(result.evaluation.images().size()));
    if (Ranks::any(StopOnSignal::signal() != 0)) return {};
  }
  result.seconds = Ranks::of_first(seconds_since(start));
  return result;
}

}  // namespace nuclei
