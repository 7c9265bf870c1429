#include "evaluation/overlap.h"

#include <catch2/catch.hpp>

#include "dataset/synthetic.h"
#include "drawing.h"

using namespace nuclei;
using nuclei::test::drawn_row;

TEST_CASE("nuclei: every nucleus has a fate", "[nuclei][overlap]") {
  //                         correct  missed  merged   split         extra
  const Fates fates = compare(drawn_row("aaaa...bbbb..ccccdddd..eeeeee......"),
                              drawn_row("aaaa.........aaaaaaaa..bbbccc..dd.."));
  // The found a covers two far parts, so both true a and the merged pair lie in it.
  CHECK(fates.truth[2] == Fate::missed);
  CHECK(fates.truth[3] == Fate::merged);
  CHECK(fates.truth[4] == Fate::merged);
  CHECK(fates.truth[5] == Fate::split);
  CHECK(fates.predicted[2] == Fate::split);
  CHECK(fates.predicted[4] == Fate::extra);
  CHECK(fates.counts[Fate::extra] == 1);

  const Fates right = compare(drawn_row("aaaa..bb"), drawn_row("aaa...cc"));
  CHECK((right.counts[Fate::correct] == 2 && right.counts[Fate::missed] == 0 &&
         right.counts[Fate::extra] == 0));
  CHECK((right.predicted[1] == Fate::correct && right.predicted[3] == Fate::correct));
  // A small neighbour that is swallowed is merged, the large one still found.
  const Fates swallowed = compare(drawn_row("aaaaaaaabb"), drawn_row("aaaaaaaaaa"));
  CHECK((swallowed.truth[1] == Fate::correct && swallowed.truth[2] == Fate::merged));
  // A crumb beside a found nucleus is a part of it.
  CHECK(compare(drawn_row("aaaaaaaaaa"), drawn_row("aaaaaaaabb")).predicted[2] == Fate::split);
  // The fates of the true nuclei add up.
  const Example e = make_synthetic(4, 160, 160, Style::fluorescence);
  LabelMap odd = e.truth;
  for (std::size_t i = 0; i < odd.size(); ++i) {
    if (i % 160 > 80 && odd[i] > 0) odd[i] = 1 + odd[i] / 2;
  }
  const Fates mixed = compare(e.truth, odd);
  CHECK(mixed.counts[Fate::correct] + mixed.counts[Fate::missed] + mixed.counts[Fate::merged] +
            mixed.counts[Fate::split] ==
        max_label(e.truth));
  CHECK_THROWS(compare(drawn_row("aa"), drawn_row("aaa")));
}
