#include "report/html_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "common/text.h"
#include "report/chart.h"
#include "report/gallery.h"
#include "report/html.h"

namespace nuclei {
namespace {

const char* meaning(Fate fate) {
  switch (fate) {
    case Fate::correct: return "shares more than half of the joint area (IoU above 0.5)";
    case Fate::missed: return "marked, but nothing that was found fits it; its true outline, dashed";
    case Fate::merged: return "several found as one; their true outlines dashed";
    case Fate::split: return "found in parts; its true outline dashed";
    case Fate::extra: return "found where no nucleus is marked";
  }
  return "";
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string count_nuclei(std::size_t n) { return std::to_string(n) + (n == 1 ? " nucleus" : " nuclei"); }

// --- Numbers

bool is_count(const Metric& metric) { return metric.key == "count_error"; }

std::string shown(const Metric& metric, double value) { return fixed(value, is_count(metric) ? 1 : 3); }

std::string shown(const Metric& metric, double value, const Interval& interval) {
  return shown(metric, value) + "<small>" + shown(metric, interval.low) + " – " +
         shown(metric, interval.high) + "</small>";
}

std::size_t index_of(const std::string& key) {
  const auto at = std::ranges::find(metrics(), key, &Metric::key);
  return static_cast<std::size_t>(at - metrics().begin());
}

// --- Sections

std::string tiles(const Summary& all, const Summary& otsu) {
  std::string html = "<div class=\"tiles\">";
  for (const auto& [key, name] : {std::pair("dsb_score", "Bowl score"),
                                  {"ap_0.50", "AP at IoU 0.5"},
                                  {"dice", "Dice"},
                                  {"pq", "Panoptic quality"},
                                  {"pixel_accuracy", "Pixel accuracy"},
                                  {"count_error", "Count error"}}) {
    const std::size_t m = index_of(key);
    const Metric& metric = metrics()[m];
    html += "<div class=\"tile\"><span class=\"name\">" + std::string(name) + "</span><b>" +
            shown(metric, metric.of(all.mean)) +
            "</b><span>95 %: " + shown(metric, all.mean_interval[m].low) + " – " +
            shown(metric, all.mean_interval[m].high) +
            "</span><span>Otsu: " + shown(metric, metric.of(otsu.mean)) + "</span></div>";
  }
  return html + "</div>\n";
}

std::string fates_section(const Evaluation& evaluation) {
  const FateCounts counts = evaluation.fates();
  const double truth = static_cast<double>(evaluation.true_areas().size());
  std::string bar = "<div class=\"stack\" aria-hidden=\"true\">", legend = "<div class=\"fates\">";
  for (const Fate fate : all_fates) {
    const auto count = static_cast<double>(counts[fate]);
    if (fate != Fate::extra && count > 0)
      bar += "<i class=\"bg-" + std::string(name(fate)) + "\" style=\"flex:" + fixed(count, 0) + "\"></i>";
    legend += "<div>" + line_sample(fate) + "<div style=\"display:block\"><b>" + fixed(count, 0) + "</b> " +
              name(fate) + (fate != Fate::extra && truth > 0 ? ", " + percent(count / truth) : "") +
              "<small>" + meaning(fate) + "</small></div></div>";
  }
  return html_section("nuclei", "What became of the nuclei",
                      count_nuclei(evaluation.true_areas().size()) + " are marked in " +
                          counted(evaluation.images().size(), "image") + ", " +
                          count_nuclei(evaluation.found_areas().size()) + " were found.",
                      html_card(bar + "</div>" + legend + "</div>"));
}

std::string metric_table(const Summary& all, const Summary& otsu, const Summary& background) {
  std::string rows;
  for (std::size_t m = 0; m < metrics().size(); ++m) {
    const Metric& metric = metrics()[m];
    rows += "<tr>" + html_cell(html_escape(metric.label)) +
            html_cell(shown(metric, metric.of(all.mean), all.mean_interval[m])) +
            html_cell(shown(metric, metric.of(all.pooled), all.pooled_interval[m])) +
            html_cell(shown(metric, metric.of(otsu.mean)), "muted") +
            html_cell(shown(metric, metric.of(background.mean)), "muted") + "</tr>";
  }
  return "<div class=\"scroll\"><table>" +
         html_head({"Score", "Mean over images", "All nuclei pooled", "Otsu, mean", "All background, mean"}) +
         "<tbody>" + rows + "</tbody></table></div>";
}

std::string modality_table(const std::map<Modality, Summary>& kinds,
                           const std::map<Modality, Summary>& otsu) {
  std::string rows;
  const std::array keys{"dsb_score",      "ap_0.50", "ap_0.75", "dice",
                        "pixel_accuracy", "pq",      "aji",     "count_error"};
  for (const auto& [kind, summary] : kinds) {
    rows += "<tr>" + html_cell(capital(name(kind))) + html_cell(std::to_string(summary.images)) +
            html_cell(std::to_string(summary.mean.true_count)) +
            html_cell(std::to_string(summary.mean.predicted_count));
    for (const char* key : keys) {
      const std::size_t m = index_of(key);
      rows += html_cell(shown(metrics()[m], metrics()[m].of(summary.mean)) + "<br><small>" +
                        shown(metrics()[m], summary.mean_interval[m].low) + "–" +
                        shown(metrics()[m], summary.mean_interval[m].high) + "</small>");
    }
    rows += html_cell(fixed(otsu.at(kind).mean.bowl, 3), "muted") + "</tr>";
  }
  return "<div class=\"scroll\"><table class=\"dense\">" +
         html_head({"Kind", "Images", "Nuclei", "Found", "Bowl score", "AP 0.50", "AP 0.75", "Dice",
                    "Accuracy", "PQ", "AJI", "Count error", "Otsu’s score"}) +
         "<tbody>" + rows + "</tbody></table></div>";
}

Series ap_series(const std::string& name, const Scores& scores, int color, bool dashed) {
  Series series{name, {}, {}, color, dashed};
  for (int k = 0; k < thresholds; ++k) {
    series.x.push_back(threshold(k));
    series.y.push_back(scores.ap[static_cast<std::size_t>(k)]);
  }
  return series;
}

std::string ap_chart(const Summary& all, const std::map<Modality, Summary>& kinds, const Summary& otsu) {
  std::vector<Series> series{ap_series("all images", all.mean, 1, false)};
  if (kinds.size() > 1) {
    int color = 2;
    for (const auto& [kind, summary] : kinds)
      series.push_back(ap_series(name(kind), summary.mean, color++, false));
  }
  series.push_back(ap_series("Otsu", otsu.mean, 5, true));
  return "<h3>Precision against how well the outlines must fit</h3>" +
         line_chart({.x_label = "IoU threshold",
                     .y_label = "AP = TP / (TP + FP + FN)",
                     .y_min = 0.0,
                     .y_max = 1.0,
                     .x_decimals = 2,
                     .y_decimals = 3},
                    series);
}

double diameter(std::int64_t area) { return 2 * std::sqrt(static_cast<double>(area) / std::numbers::pi); }

std::string size_chart(const Evaluation& evaluation) {
  constexpr std::size_t bin_count = 24;
  std::vector<double> truth, found;
  std::ranges::transform(evaluation.true_areas(), std::back_inserter(truth), diameter);
  std::ranges::transform(evaluation.found_areas(), std::back_inserter(found), diameter);
  std::vector<double> all = truth;
  all.insert(all.end(), found.begin(), found.end());
  std::ranges::sort(all);
  // The few largest share the last bin. Otherwise one giant would put all others into the first.
  const double highest = all.empty() ? 1 : std::ceil(all[(all.size() - 1) * 995 / 1000]) + 1;
  std::vector<double> edges;
  for (std::size_t b = 0; b <= bin_count; ++b) edges.push_back(highest * static_cast<double>(b) / bin_count);
  const auto count = [&](const std::vector<double>& diameters) {
    std::vector<double> bins(bin_count);
    for (const double d : diameters)
      ++bins[std::min(bin_count - 1, static_cast<std::size_t>(d / highest * static_cast<double>(bin_count)))];
    return bins;
  };
  return "<h3>Sizes of true and found nuclei</h3>" +
         histogram({.x_label = "diameter of a disc of the same area, pixels",
                    .y_label = "nuclei",
                    .x_decimals = 1,
                    .y_decimals = 0},
                   edges, {{"true", {}, count(truth), 5}, {"found", {}, count(found), 1}});
}

std::string image_table(const Evaluation& evaluation) {
  std::string rows;
  for (const ImageScores& image : evaluation.images()) {
    const Scores& s = image.scores;
    const std::string id = html_escape(image.id);
    rows += "<tr><td title=\"" + id + "\">" + id + "</td>" + html_cell(name(image.kind));
    for (const int n : {s.true_count, s.predicted_count}) rows += html_cell(std::to_string(n));
    for (const Fate fate : all_fates) rows += html_cell(std::to_string(image.fates[fate]));
    for (const double value : {s.bowl, s.ap[0], s.dice, s.pq, s.aji, s.accuracy})
      rows += html_cell(fixed(value, 3));
    rows += "</tr>";
  }
  std::string heads;
  for (const char* name : {"Image", "Kind", "Nuclei", "Found", "Correct", "Missed", "Merged", "Split",
                           "Extra", "Bowl score", "AP 0.50", "Dice", "PQ", "AJI", "Accuracy"})
    heads += "<th scope=\"col\"><button type=\"button\">" + std::string(name) + "</button></th>";
  return html_section(
      "all", "Every image", "",
      html_card("<details><summary>" + counted(evaluation.images().size(), "image") +
                "; click a heading to sort</summary><div class=\"scroll\"><table class=\"long\"><thead><tr>" +
                heads + "</tr></thead><tbody>" + rows + "</tbody></table></div></details>"));
}

std::string pairs(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string rows;
  for (const auto& [name, value] : entries)
    rows += "<tr>" + html_cell(html_escape(name)) + html_cell(html_escape(value)) + "</tr>";
  return "<table class=\"pairs\"><tbody>" + rows + "</tbody></table>";
}

std::string scores_sections(const Evaluation& evaluation, const Baselines& baselines) {
  const Summary all = evaluation.summary(), otsu = summarize(baselines.otsu),
                background = summarize(baselines.background);
  const std::map<Modality, Summary> kinds = evaluation.by_modality();
  std::string html = tiles(all, otsu) + fates_section(evaluation);
  html += html_section("sizes", "Fit and size", "",
                       "<div class=\"grid\">" + html_card(ap_chart(all, kinds, otsu)) +
                           html_card(size_chart(evaluation)) + "</div>");
  html += gallery(evaluation);
  html +=
      html_section("kinds", "Kinds of images",
                   "Means over the images of a kind; below each its 95 % interval. Few images make it wide.",
                   html_card(modality_table(kinds, evaluation.by_modality(baselines.otsu))));
  html += html_section(
      "scores", "All scores",
      "A mean gives each image the same weight, pooling gives it to each nucleus (and pixel). The small "
      "numbers are 95 % intervals: " +
          std::to_string(resamples) +
          " draws of as many images with replacement. The two baselines know nothing of nuclei: Otsu’s "
          "threshold with connected parts, and the answer that there are none. The pooled count error "
          "is that of the total.",
      html_card(metric_table(all, otsu, background)));
  return html;
}

/// A browser asks for nothing, and runs this one script only: whatever names and metadata hold, they are
/// text.
std::string policy() {
  return std::string(
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
             "style-src 'unsafe-inline'; img-src data:; script-src 'sha256-") +
         report_script_sha256 + "'; base-uri 'none'; form-action 'none'\">\n";
}

}  // namespace

std::string html_report(const ReportPage& page, const Evaluation& evaluation, const Baselines& baselines) {
  const bool any = !evaluation.images().empty();
  const std::string training = training_curves(page.metrics_csv);
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n" + policy() +
                     "<meta name=\"viewport\" "
                     "content=\"width=device-width, initial-scale=1\">\n<title>" +
                     html_escape(page.title + ": " + page.subject) + "</title>\n<style>" + report_style +
                     "</style></head><body>\n";
  html += "<header><div>" + std::string(report_mark) + "<h1>" + html_escape(page.title) +
          "</h1><p class=\"subject\">" + html_escape(page.subject) + "</p><nav aria-label=\"sections\">";
  const auto link = [&](const char* id, const char* text) {
    html += "<a href=\"#" + std::string(id) + "\">" + text + "</a>";
  };
  if (any)
    link("nuclei", "Nuclei"), link("sizes", "Fit and size"), link("images", "Images"), link("kinds", "Kinds");
  if (any) link("scores", "All scores");
  if (!training.empty()) link("training", "Training");
  if (any) link("all", "Every image");
  link("settings", "Settings");
  html += "</nav></div></header>\n<main>\n";
  html +=
      any ? scores_sections(evaluation, baselines) : "<p class=\"quiet\">There are no images to score.</p>\n";
  html += training;
  if (any) html += image_table(evaluation);
  html +=
      html_section("settings", "Settings and time", "",
                   "<div class=\"grid\">" + html_card("<h3>Configuration</h3>" + pairs(page.configuration)) +
                       html_card("<h3>Time</h3>" + pairs(page.timing)) + "</div>");
  html +=
      "</main>\n<footer>A nucleus is correct where it and a found one share more than half of the pixels of "
      "both (IoU above 0.5). Bowl score: mean over IoU thresholds 0.50, 0.55, ... 0.95 of TP / (TP + FP + "
      "FN).</footer>\n";
  return html + "<script>" + report_script + "</script></body></html>\n";
}

}  // namespace nuclei
