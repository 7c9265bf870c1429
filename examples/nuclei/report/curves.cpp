#include "report/curves.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "report/chart.h"
#include "report/html.h"

namespace nuclei {
namespace {

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

}  // namespace

std::string training_curves(const std::string& csv) {
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
  html +=
      html_card("<h3>Loss</h3>" +
                line_chart({.x_label = "epoch", .y_label = "loss", .y_min = 0.0, .y_decimals = 4}, losses));
  html +=
      html_card("<h3>Scores on the held-out images</h3>" +
                line_chart({.x_label = "epoch", .y_label = "score", .y_max = 1.0, .y_decimals = 4}, scores));
  if (!rate.empty())
    html += html_card("<h3>Learning rate</h3>" +
                      line_chart({.x_label = "epoch", .y_label = "", .y_min = 0.0, .y_decimals = 6}, rate));
  return html_section("training", "How training went", "", html + "</div>");
}

}  // namespace nuclei
