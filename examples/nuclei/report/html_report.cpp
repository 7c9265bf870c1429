#include "report/html_report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

#include "common/text.h"
#include "instances/outline.h"
#include "output/render.h"
#include "report/chart.h"
#include "report/html_style.h"

namespace nuclei {
namespace {

constexpr std::array<Fate, fate_count> all_fates{Fate::correct, Fate::missed, Fate::merged, Fate::split,
                                                 Fate::extra};

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

std::string count_of(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
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

std::string cell(const std::string& html, const char* style = "") {
  return std::string("<td") + (*style ? " class=\"" + std::string(style) + "\"" : "") + ">" + html + "</td>";
}

std::string head(std::initializer_list<std::string> names) {
  std::string row = "<thead><tr>";
  for (const std::string& name : names) row += "<th scope=\"col\">" + name + "</th>";
  return row + "</tr></thead>";
}

std::string section(const char* id, const char* title, const std::string& lead, const std::string& body) {
  return "<section id=\"" + std::string(id) + "\"><h2>" + title + "</h2>\n" +
         (lead.empty() ? "" : "<p class=\"quiet\">" + lead + "</p>\n") + body + "</section>\n";
}

std::string card(const std::string& body) { return "<div class=\"card\">" + body + "</div>\n"; }

// --- Sections

std::string tiles(const Summary& all, const Summary& otsu) {
  struct Tile {
    const char *key, *name;
  };
  std::string html = "<div class=\"tiles\">";
  for (const Tile& tile : {Tile{"dsb_score", "Bowl score"},
                           {"ap_0.50", "AP at IoU 0.5"},
                           {"dice", "Dice"},
                           {"pq", "Panoptic quality"},
                           {"pixel_accuracy", "Pixel accuracy"},
                           {"count_error", "Count error"}}) {
    const std::size_t m = index_of(tile.key);
    const Metric& metric = metrics()[m];
    html += "<div class=\"tile\"><span class=\"name\">" + std::string(tile.name) + "</span><b>" +
            shown(metric, metric.of(all.mean)) +
            "</b><span>95 %: " + shown(metric, all.mean_interval[m].low) + " – " +
            shown(metric, all.mean_interval[m].high) +
            "</span><span>Otsu: " + shown(metric, metric.of(otsu.mean)) + "</span></div>";
  }
  return html + "</div>\n";
}

std::string line_sample(Fate fate) {
  return "<svg class=\"sample\" width=\"30\" height=\"14\" viewBox=\"0 0 30 14\" aria-hidden=\"true\"><rect "
         "width=\"30\" height=\"14\" rx=\"4\"/><path class=\"out " +
         std::string(name(fate)) + "\" d=\"M4 7h22\"/></svg>";
}

std::string fates_section(const Evaluation& evaluation) {
  std::array<std::int64_t, fate_count> counts{};
  const auto at = [&](Fate fate) -> std::int64_t& { return counts[static_cast<std::size_t>(fate)]; };
  for (const ImageScores& image : evaluation.images()) {
    at(Fate::correct) += image.fates.correct;
    at(Fate::missed) += image.fates.missed;
    at(Fate::merged) += image.fates.merged;
    at(Fate::split) += image.fates.split;
    at(Fate::extra) += image.fates.extra;
  }
  const double truth = static_cast<double>(evaluation.true_areas().size());
  std::string bar = "<div class=\"stack\" aria-hidden=\"true\">", legend = "<div class=\"fates\">";
  for (const Fate fate : all_fates) {
    const auto count = static_cast<double>(at(fate));
    if (fate != Fate::extra && count > 0)
      bar += "<i class=\"bg-" + std::string(name(fate)) + "\" style=\"flex:" + fixed(count, 0) + "\"></i>";
    legend += "<div>" + line_sample(fate) + "<div style=\"display:block\"><b>" + fixed(count, 0) + "</b> " +
              name(fate) + (fate != Fate::extra && truth > 0 ? ", " + percent(count / truth) : "") +
              "<small>" + meaning(fate) + "</small></div></div>";
  }
  return section("nuclei", "What became of the nuclei",
                 count_nuclei(evaluation.true_areas().size()) + " are marked in " +
                     count_of(evaluation.images().size(), "image") + ", " +
                     count_nuclei(evaluation.found_areas().size()) + " were found.",
                 card(bar + "</div>" + legend + "</div>"));
}

std::string metric_table(const Summary& all, const Summary& otsu, const Summary& background) {
  std::string rows;
  for (std::size_t m = 0; m < metrics().size(); ++m) {
    const Metric& metric = metrics()[m];
    rows += "<tr>" + cell(html_escape(metric.label)) +
            cell(shown(metric, metric.of(all.mean), all.mean_interval[m])) +
            cell(shown(metric, metric.of(all.pooled), all.pooled_interval[m])) +
            cell(shown(metric, metric.of(otsu.mean)), "muted") +
            cell(shown(metric, metric.of(background.mean)), "muted") + "</tr>";
  }
  return "<div class=\"scroll\"><table>" +
         head({"Score", "Mean over images", "All nuclei pooled", "Otsu, mean", "All background, mean"}) +
         "<tbody>" + rows + "</tbody></table></div>";
}

std::string modality_table(const std::map<Modality, Summary>& kinds,
                           const std::map<Modality, Summary>& otsu) {
  std::string rows;
  const std::array keys{"dsb_score",      "ap_0.50", "ap_0.75", "dice",
                        "pixel_accuracy", "pq",      "aji",     "count_error"};
  for (const auto& [kind, summary] : kinds) {
    rows += "<tr>" + cell(capital(name(kind))) + cell(std::to_string(summary.images)) +
            cell(std::to_string(summary.mean.true_count)) +
            cell(std::to_string(summary.mean.predicted_count));
    for (const char* key : keys) {
      const std::size_t m = index_of(key);
      rows += cell(shown(metrics()[m], metrics()[m].of(summary.mean)) + "<br><small>" +
                   shown(metrics()[m], summary.mean_interval[m].low) + "–" +
                   shown(metrics()[m], summary.mean_interval[m].high) + "</small>");
    }
    rows += cell(fixed(otsu.at(kind).mean.bowl, 3), "muted") + "</tr>";
  }
  return "<div class=\"scroll\"><table class=\"dense\">" +
         head({"Kind", "Images", "Nuclei", "Found", "Bowl score", "AP 0.50", "AP 0.75", "Dice", "Accuracy",
               "PQ", "AJI", "Count error", "Otsu’s score"}) +
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
  // The few largest share the last bin: a single giant must not press all others into one.
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

// --- Pictures

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) three = three << 8 | (i + k < bytes.size() ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? digits[three >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

/// Every `step`-th part of a picture in each direction, averaged.
Picture shrink(const Picture& picture, int step) {
  if (step <= 1) return picture;
  Picture small(std::max(1, picture.width / step), std::max(1, picture.height / step), picture.channels);
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      for (int c = 0; c < picture.channels; ++c) {
        int sum = 0, n = 0;
        for (int dy = 0; dy < step && y * step + dy < picture.height; ++dy) {
          for (int dx = 0; dx < step && x * step + dx < picture.width; ++dx, ++n)
            sum += picture.at(x * step + dx, y * step + dy, c);
        }
        small.at(x, y, c) = static_cast<std::uint8_t>(sum / n);
      }
    }
  }
  return small;
}

std::string data_uri(const Picture& picture) {
  bool colour = false;
  Picture grey(picture.width, picture.height);
  for (std::size_t i = 0; i < grey.size() && !colour; ++i) {
    const std::uint8_t* rgb = picture.pixel(i);
    grey[i] = rgb[0];
    colour = rgb[0] != rgb[1] || rgb[0] != rgb[2];
  }
  return "data:image/png;base64," + base64(encode_png8(colour ? picture : grey));
}

/// The outlines of one side's nuclei with one fate, as an SVG path in half pixels; points closer than `step`
/// half pixels are drawn as one.
// The outlines of the nuclei that met this fate, in half pixels.
std::string path_of(const LabelMap& map, const std::vector<Nucleus>& nuclei, const PerLabel<Fate>& fates,
                    Fate fate, int step) {
  std::string path;
  const auto draw = [&](const Ring& ring) {
    Corner last{};
    bool begun = false;
    for (const Corner& point : with_cut_corners(ring)) {
      const int dx = point.x - last.x, dy = point.y - last.y;
      if (begun && std::abs(dx) < step && std::abs(dy) < step) continue;
      if (begun) {
        path += 'l' + std::to_string(dx) + (dy < 0 ? "" : " ") + std::to_string(dy);
      } else {
        path += 'M' + std::to_string(point.x) + ' ' + std::to_string(point.y);
      }
      begun = true;
      last = point;
    }
    path += 'z';
  };
  for (const Nucleus& nucleus : nuclei) {
    if (fates[nucleus.label] != fate) continue;
    for (const Part& part : outline(map, nucleus)) {
      draw(part.outer);
      for (const Ring& hole : part.holes) draw(hole);
    }
  }
  return path;
}

std::string picture_of(const Evaluation::Shown& shown) {
  constexpr int longest_side = 768;
  const Image& image = shown.image;
  const int step = (std::max(image.width, image.height) + longest_side - 1) / longest_side;
  const LabelMap nothing(image.width, image.height);
  const std::string width = std::to_string(2 * image.width), height = std::to_string(2 * image.height);
  std::string svg = "<svg viewBox=\"0 0 " + width + " " + height +
                    "\" preserveAspectRatio=\"xMidYMid meet\"><image width=\"" + width + "\" height=\"" +
                    height + "\" preserveAspectRatio=\"none\" href=\"" +
                    data_uri(shrink(overlay(image, nothing), step)) + "\"/>";
  const Fates fates = compare(shown.truth, shown.found);
  const std::vector<Nucleus> truth = measure(shown.truth, image), found = measure(shown.found, image);
  for (const Fate fate : all_fates) {
    // What is right is drawn once, as it was found; what is not, as it should be and as it is.
    const std::string should =
        fate == Fate::correct ? "" : path_of(shown.truth, truth, fates.truth, fate, step);
    const std::string is = path_of(shown.found, found, fates.predicted, fate, step);
    if (should.empty() && is.empty()) continue;
    svg += "<g class=\"" + std::string(name(fate)) + "\">";
    for (const auto& [path, side] : {std::pair(&should, " true"), std::pair(&is, "")}) {
      if (path->empty()) continue;
      svg += "<path class=\"case\" d=\"" + *path + "\"/><path class=\"out " + name(fate) + side + "\" d=\"" +
             *path + "\"/>";
    }
    svg += "</g>";
  }
  return svg + "</svg>";
}

std::string figures(const Evaluation& evaluation, const std::vector<const Evaluation::Shown*>& pictures) {
  std::string html = "<div class=\"gallery\">\n";
  for (const Evaluation::Shown* shown : pictures) {
    const ImageScores& image = evaluation.images()[shown->index];
    std::string fates;
    const auto tell = [&](int n, const char* what) {
      if (n > 0) fates += (fates.empty() ? "" : ", ") + std::to_string(n) + " " + what;
    };
    tell(image.fates.correct, "correct");
    tell(image.fates.missed, "missed");
    tell(image.fates.merged, "merged");
    tell(image.fates.split, "split");
    tell(image.fates.extra, "extra");
    const std::string id = html_escape(image.id);
    html += "<figure><button type=\"button\" aria-label=\"enlarge " + id + "\">" + picture_of(*shown) +
            "</button><figcaption><b title=\"" + id + "\">" + id + "</b><span>" + name(image.kind) +
            ", Bowl score " + fixed(image.scores.bowl, 3) + ", Dice " + fixed(image.scores.dice, 3) +
            "</span><span>" + (fates.empty() ? "no nuclei, none found" : fates) +
            "</span></figcaption></figure>\n";
  }
  return html + "</div>\n";
}

std::string gallery(const Evaluation& evaluation) {
  std::string html = "<div class=\"toolbar\" role=\"group\" aria-label=\"outlines shown\">";
  for (const Fate fate : all_fates)
    html += "<label><input type=\"checkbox\" checked data-fate=\"" + std::string(name(fate)) + "\">" +
            line_sample(fate) + name(fate) + "</label>";
  html += "</div>\n";
  const auto worst = evaluation.worst(), best = evaluation.best();
  if (!worst.empty()) html += "<h3>Lowest scores</h3>" + figures(evaluation, worst);
  if (!best.empty()) html += "<h3>Highest scores</h3>" + figures(evaluation, best);
  return section(
      "images", "Images",
      "Click an image to enlarge it. Solid lines are what was found, dashed ones what should have been.",
      html + "<dialog aria-label=\"enlarged image\"></dialog>");
}

std::string image_table(const Evaluation& evaluation) {
  std::string rows;
  for (const ImageScores& image : evaluation.images()) {
    const Scores& s = image.scores;
    const std::string id = html_escape(image.id);
    rows += "<tr><td title=\"" + id + "\">" + id + "</td>" + cell(name(image.kind));
    for (const int n : {s.true_count, s.predicted_count, image.fates.correct, image.fates.missed,
                        image.fates.merged, image.fates.split, image.fates.extra})
      rows += cell(std::to_string(n));
    for (const double value : {s.bowl, s.ap[0], s.dice, s.pq, s.aji, s.accuracy})
      rows += cell(fixed(value, 3));
    rows += "</tr>";
  }
  std::string heads;
  for (const char* name : {"Image", "Kind", "Nuclei", "Found", "Correct", "Missed", "Merged", "Split",
                           "Extra", "Bowl score", "AP 0.50", "Dice", "PQ", "AJI", "Accuracy"})
    heads += "<th scope=\"col\"><button type=\"button\">" + std::string(name) + "</button></th>";
  return section(
      "all", "Every image", "",
      card("<details><summary>" + count_of(evaluation.images().size(), "image") +
           "; click a heading to sort</summary><div class=\"scroll\"><table class=\"long\"><thead><tr>" +
           heads + "</tr></thead><tbody>" + rows + "</tbody></table></div></details>"));
}

// --- Curves of the training

std::vector<std::string> split_line(std::string_view line) {
  std::vector<std::string> fields;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    fields.emplace_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

double to_number(const std::string& field) {
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  return error == std::errc() && end == field.data() + field.size()
             ? value
             : std::numeric_limits<double>::quiet_NaN();
}

std::string title_of(const std::string& column) {
  const std::array<std::pair<const char*, const char*>, 10> known{{{"train_loss", "training"},
                                                                   {"val_loss", "validation"},
                                                                   {"val_accuracy", "pixel accuracy"},
                                                                   {"val_iou", "IoU"},
                                                                   {"val_dice", "Dice"},
                                                                   {"val_bowl", "Bowl score"},
                                                                   {"lr", "learning rate"},
                                                                   {"val_ap50", "AP at IoU 0.5"},
                                                                   {"val_pq", "panoptic quality"},
                                                                   {"val_aji", "AJI"}}};
  const auto at =
      std::ranges::find(known, column, [](const auto& entry) { return std::string(entry.first); });
  return at == known.end() ? column : at->second;
}

/// The columns of metrics.csv: losses and scores are told by their names, so that a column more is a curve
/// more.
std::string curves(const std::string& csv) {
  std::vector<Series> losses, scores, rate;
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;
  for (std::size_t begin = 0; begin < csv.size();) {
    const std::size_t end = std::min(csv.find('\n', begin), csv.size());
    const std::vector<std::string> fields = split_line(std::string_view(csv).substr(begin, end - begin));
    begin = end + 1;
    if (names.empty()) {
      names = fields;
      columns.resize(names.size());
    } else if (fields.size() == names.size()) {
      for (std::size_t c = 0; c < fields.size(); ++c) columns[c].push_back(to_number(fields[c]));
    }
  }
  if (columns.empty() || columns[0].empty()) return "";
  for (std::size_t c = 1; c < names.size(); ++c) {
    std::vector<Series>* group = names[c].ends_with("loss")     ? &losses
                                 : names[c].starts_with("val_") ? &scores
                                 : names[c] == "lr"             ? &rate
                                                                : nullptr;
    if (group)
      group->push_back({title_of(names[c]), columns[0], columns[c], static_cast<int>(group->size() % 5) + 1});
  }
  std::string html = "<div class=\"grid\">";
  html += card("<h3>Loss</h3>" +
               line_chart({.x_label = "epoch", .y_label = "loss", .y_min = 0.0, .y_decimals = 4}, losses));
  html += card("<h3>Scores on the held-out images</h3>" +
               line_chart({.x_label = "epoch", .y_label = "score", .y_max = 1.0, .y_decimals = 4}, scores));
  if (!rate.empty())
    html += card("<h3>Learning rate</h3>" +
                 line_chart({.x_label = "epoch", .y_label = "", .y_min = 0.0, .y_decimals = 6}, rate));
  return section("training", "How training went", "", html + "</div>");
}

std::string pairs(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string rows;
  for (const auto& [name, value] : entries)
    rows += "<tr>" + cell(html_escape(name)) + cell(html_escape(value)) + "</tr>";
  return "<table class=\"pairs\"><tbody>" + rows + "</tbody></table>";
}

std::string scores_sections(const Evaluation& evaluation, const Baselines& baselines) {
  const Summary all = evaluation.summary(), otsu = summarize(baselines.otsu),
                background = summarize(baselines.background);
  const std::map<Modality, Summary> kinds = evaluation.by_modality();
  std::map<Modality, std::vector<Scores>> otsu_scores;
  for (std::size_t i = 0; i < evaluation.images().size(); ++i)
    otsu_scores[evaluation.images()[i].kind].push_back(baselines.otsu.at(i));
  std::map<Modality, Summary> otsu_kinds;
  for (const auto& [kind, scores] : otsu_scores) otsu_kinds[kind] = summarize(scores);

  std::string html = tiles(all, otsu) + fates_section(evaluation);
  html += section(
      "sizes", "Fit and size", "",
      "<div class=\"grid\">" + card(ap_chart(all, kinds, otsu)) + card(size_chart(evaluation)) + "</div>");
  html += gallery(evaluation);
  html += section("kinds", "Kinds of images",
                  "Means over the images of a kind; below each its 95 % interval. Few images make it wide.",
                  card(modality_table(kinds, otsu_kinds)));
  html += section(
      "scores", "All scores",
      "A mean gives each image the same weight, pooling gives it to each nucleus (and pixel). The small "
      "numbers are 95 % intervals: " +
          std::to_string(resamples) +
          " draws of as many images with replacement. The two baselines know nothing of nuclei: Otsu’s "
          "threshold with connected parts, and the answer that there are none. The pooled count error "
          "is that of the total.",
      card(metric_table(all, otsu, background)));
  return html;
}

}  // namespace

std::string html_report(const ReportPage& page, const Evaluation& evaluation, const Baselines& baselines) {
  const bool any = !evaluation.images().empty();
  const std::string training = curves(page.metrics_csv);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>" +
      html_escape(page.title + ": " + page.subject) + "</title>\n<style>" + report_style +
      "</style></head><body>\n";
  html += "<header><div><div class=\"eyebrow\">nuclei report</div><h1>" + html_escape(page.title) +
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
  html += section("settings", "Settings and time", "",
                  "<div class=\"grid\">" + card("<h3>Configuration</h3>" + pairs(page.configuration)) +
                      card("<h3>Time</h3>" + pairs(page.timing)) + "</div>");
  html +=
      "</main>\n<footer>A nucleus is correct where it and a found one share more than half of the pixels of "
      "both "
      "(IoU above 0.5). Bowl score: mean over IoU thresholds 0.50, 0.55, ... 0.95 of TP / (TP + FP + "
      "FN).</footer>\n";
  return html + "<script>" + report_script + "</script></body></html>\n";
}

}  // namespace nuclei
