#include "report/html_report.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <string>

#include "dataset/synthetic.h"
#include "imageio/image_source.h"
#include "imageio/sample_source.h"
#include "output/render.h"
#include "program.h"
#include "report/chart.h"
#include "report/html.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Contains;

namespace {

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("nuclei: a report is one file that asks for nothing else", "[nuclei][report]") {
  Evaluation evaluation;
  Baselines baselines;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    Example e = make_synthetic(seed, 160, 160, Style::fluorescence);
    e.id = "<img src=x onerror=alert(1)> & \"" + std::to_string(seed) + "\"";
    LabelMap found = e.truth;
    std::ranges::replace_if(
        found, [&](int label) { return label > 4 + static_cast<int>(seed); }, 0);
    evaluation.add(e, found, 0.25);
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

  // The policy allows the style and the script that are there, pictures in the page, and nothing else.
  const auto between = [&](const std::string& begin, const std::string& end) {
    const std::size_t at = html.find(begin) + begin.size();
    return html.substr(at, html.find(end, at) - at);
  };
  const karyon::test::TempFolder folder;
  karyon::test::write_file(folder / "script", between("<script>", "</script>"));
  const test::Result hash =
      test::shell("openssl dgst -sha256 -binary " + (folder / "script").string() + " | base64");
  CHECK(count(html, "<script") == 1);
  CHECK(count(html, "<style") == 1);
  CHECK(between("Content-Security-Policy\" content=\"", "\"") ==
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-" +
            hash.text.substr(0, 44) + "'; base-uri 'none'; form-action 'none'");
  for (const char* handler : {" onclick=", " onload=", " onerror=\"", "javascript:", "eval("})
    CHECK(count(html, handler) == 0);

  const std::string nothing = html_report({.title = "Training"}, Evaluation(), Baselines());
  CHECK_THAT(nothing, Contains("no images to score"));
}

TEST_CASE("nuclei: a large picture is shown in a report as averages of its pixels", "[nuclei][report]") {
  const Example e = make_synthetic(3, 1600, 40);
  Evaluation evaluation;
  Baselines baselines;
  evaluation.add(e, e.truth, 0.1);
  baselines.add(e);
  const std::string html = html_report({.title = "Evaluation"}, evaluation, baselines),
                    mark = "data:image/png;base64,";
  const std::size_t begin = html.find(mark) + mark.size();
  const karyon::test::TempFolder folder;
  karyon::test::write_file(folder / "text", html.substr(begin, html.find('"', begin) - begin));
  REQUIRE(test::shell("base64 -d " + (folder / "text").string() + " > " + (folder / "a.png").string()).code ==
          0);
  const Image shown = read_all(*open_samples(folder / "a.png"));
  REQUIRE((shown.width == 533 && shown.height == 13));
  const Picture whole = overlay(e.image, LabelMap(1600, 40));
  for (int y = 0; y < 13; ++y)
    for (int x = 0; x < 533; ++x) {
      int sum = 0;
      for (int i = 0; i < 9; ++i) sum += whole.at(3 * x + i % 3, 3 * y + i / 3, 0);
      REQUIRE(std::lround(shown.at(x, y, 0) * 255) == sum / 9);
    }
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
