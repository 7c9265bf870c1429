#include "evaluation/evaluation.h"

#include <catch2/catch.hpp>

#include "dataset/synthetic.h"

using namespace nuclei;

namespace {

/// The truth without the nuclei above `kept`: the more are kept the better.
LabelMap first_of(const LabelMap& truth, int kept) {
  LabelMap found = truth;
  for (std::int32_t& label : found) {
    if (label > kept) label = 0;
  }
  return found;
}

}  // namespace

TEST_CASE("nuclei: the best and the worst images are kept", "[nuclei][evaluation]") {
  Evaluation evaluation(2);
  const Example e = make_synthetic(3, 160, 160, Style::fluorescence);
  const int n = max_label(e.truth);
  REQUIRE(n >= 7);
  for (const int kept : {3, n, 1, 5, 0, 6, 2}) evaluation.add(e, first_of(e.truth, kept), 0.5);
  const auto kept_of = [&](const std::vector<const Evaluation::Shown*>& list) {
    std::vector<int> result;
    for (const Evaluation::Shown* shown : list)
      result.push_back(evaluation.images()[shown->index].scores.predicted_count);
    return result;
  };
  CHECK(kept_of(evaluation.best()) == std::vector<int>{n, 6});
  CHECK(kept_of(evaluation.worst()) == std::vector<int>{0, 1});
  CHECK(evaluation.images().size() == 7);
  CHECK(evaluation.true_areas().size() == static_cast<std::size_t>(7 * n));
  CHECK(evaluation.found_areas().size() == static_cast<std::size_t>(n + 17));
  CHECK(evaluation.by_modality().size() == 1);
  Evaluation one(2);
  one.add(e, e.truth);
  CHECK((one.best().size() == 1 && one.worst().empty()));
}
