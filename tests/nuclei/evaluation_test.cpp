#include "evaluation/evaluation.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <string>

#include "dataset/synthetic.h"
#include "drawing.h"
#include "evaluation/baseline.h"
#include "evaluation/overlap.h"
#include "report/chart.h"
#include "report/html_report.h"

using namespace nuclei;
using Catch::Contains;
using nuclei::test::drawn_row;
using nuclei::test::flat_image;

namespace {

Example example(std::uint64_t seed) { return make_synthetic(seed, 160, 160, Style::fluorescence); }

/// The truth without the nuclei above `kept`: the more are kept the better.
LabelMap first_of(const LabelMap& truth, int kept) {
  LabelMap found = truth;
  for (std::int32_t& label : found) {
    if (label > kept) label = 0;
  }
  return found;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

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
  CHECK(fates.extra == 1);

  const Fates right = compare(drawn_row("aaaa..bb"), drawn_row("aaa...cc"));
  CHECK((right.correct == 2 && right.missed == 0 && right.extra == 0));
  CHECK((right.predicted[1] == Fate::correct && right.predicted[3] == Fate::correct));
  // A small neighbour that is swallowed is merged, the large one still found.
  const Fates swallowed = compare(drawn_row("aaaaaaaabb"), drawn_row("aaaaaaaaaa"));
  CHECK((swallowed.truth[1] == Fate::correct && swallowed.truth[2] == Fate::merged));
  // A crumb beside a found nucleus is a part of it.
  CHECK(compare(drawn_row("aaaaaaaaaa"), drawn_row("aaaaaaaabb")).predicted[2] == Fate::split);
  // The fates of the true nuclei add up.
  const Example e = example(4);
  LabelMap odd = e.truth;
  for (std::size_t i = 0; i < odd.size(); ++i) {
    if (i % 160 > 80 && odd[i] > 0) odd[i] = 1 + odd[i] / 2;
  }
  const Fates mixed = compare(e.truth, odd);
  CHECK(mixed.correct + mixed.missed + mixed.merged + mixed.split == max_label(e.truth));
  CHECK_THROWS(compare(drawn_row("aa"), drawn_row("aaa")));
}

TEST_CASE("nuclei: the best and the worst images are kept", "[nuclei][evaluation]") {
  Evaluation evaluation(2);
  const Example e = example(3);
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

TEST_CASE("nuclei: Otsu's threshold splits two kinds of brightness", "[nuclei][baseline]") {
  Image image = flat_image(40, 10, 0.2f);
  for (int y = 2; y < 8; ++y) {
    for (int x = 3; x < 9; ++x) image.at(x, y) = 0.8f;
  }
  CHECK(otsu_threshold(image) > 0.2f);
  CHECK(otsu_threshold(image) < 0.8f);
  const LabelMap bright = otsu(image);
  CHECK(max_label(bright) == 1);
  CHECK(std::ranges::count(bright, 1) == 36);
  for (float& value : image) value = 1 - value;  // dark nuclei on light: the smaller side still
  CHECK(otsu(image) == bright);
  CHECK(max_label(otsu(flat_image(4, 4, 0.5f))) == 0);
  CHECK(max_label(all_background(image)) == 0);
  CHECK_THROWS(otsu(Image{}));
}

TEST_CASE("nuclei: a report is one file that asks for nothing else", "[nuclei][report]") {
  Evaluation evaluation;
  Baselines baselines;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    Example e = example(seed);
    e.id = "<img src=x onerror=alert(1)> & \"" + std::to_string(seed) + "\"";
    evaluation.add(e, first_of(e.truth, 4 + static_cast<int>(seed)), 0.25);
    baselines.add(e);
  }
  const ReportPage page{
      .title = "Evaluation",
      .subject = "a model",
      .metrics_csv =
          "epoch,train_loss,val_loss,val_dice,lr,seconds\n1,0.5,0.4,0.7,0.1,9\n2,0.4,nan,0.8,0.05,9\n",
      .configuration = {{"epochs", "2 <of> 3"}},
      .timing = {{"all", "3s"}}};
  const std::string html = html_report(page, evaluation, baselines);
  CHECK_THAT(html, Catch::StartsWith("<!DOCTYPE html>") && Catch::EndsWith("</html>\n"));
  // Names are text, not markup.
  CHECK(count(html, "<img") == 0);
  CHECK_THAT(html, Contains("&lt;img src=x") && Contains("2 &lt;of&gt; 3"));
  for (const char* outside : {"http://", "https://", "src=\"", "@import", "url("}) {
    // The namespace of SVG is a name, not an address that is asked.
    const std::size_t names =
        std::string(outside) == "http://" ? count(html, "http://www.w3.org/2000/svg") : 0;
    CHECK(count(html, outside) == names);
  }
  CHECK(count(html, "data:image/png;base64,") == 5);
  for (const char* tag : {"div", "section", "table", "figure", "svg", "span", "p", "tr"}) {
    const std::string name = tag;
    INFO(name);
    CHECK(count(html, "<" + name + ">") + count(html, "<" + name + " ") == count(html, "</" + name + ">"));
  }
  CHECK_THAT(html,
             Contains("How training went") && Contains("Otsu") && Contains("class=\"out missed true\""));

  const std::string nothing = html_report({.title = "Training"}, Evaluation(), Baselines());
  CHECK_THAT(nothing, Contains("no images to score"));
}

TEST_CASE("nuclei: curves leave out what is not a number, and round their axes", "[nuclei][report]") {
  const std::string chart = line_chart({.x_label = "x", .y_label = "y"}, {{"a", {1, 2, 3}, {0.5, NAN, 0.9}}});
  CHECK(count(chart, "&quot;name&quot;:&quot;a&quot;") == 2);
  CHECK(count(chart, "nan") == 0);
  CHECK(count(chart, ">-0") == 0);
  CHECK_THAT(line_chart({}, {{"a", {1}, {NAN}}}), Contains("no data"));
  CHECK_THAT(line_chart({}, {{"a", {1}, {0.5}}}), Contains("<circle"));
  // Few values far apart are seen as well.
  std::vector<double> epochs(30), scores(30, NAN);
  std::iota(epochs.begin(), epochs.end(), 1);
  scores.back() = 0.5;
  CHECK_THAT(line_chart({}, {{"a", epochs, scores}}), Contains("<circle"));
  CHECK_THAT(histogram({}, {0, 1, 2}, {{"a", {}, {0, 0}}}), Contains("no data"));
  CHECK(count(histogram({}, {0, 1, 2}, {{"a", {}, {1, 2}}, {"b", {}, {0, 3}}}), "<rect") == 4);
  CHECK(html_escape("<a b='c'>&\"") == "&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
}
