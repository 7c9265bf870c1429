#include "report/chart.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/text.h"
#include "report/html.h"

namespace nuclei {
namespace {

using Json = nlohmann::json;

constexpr double chart_width = 540, chart_height = 300, left_margin = 56, right_margin = 14, top_margin = 14,
                 bottom_margin = 46;

struct Axis {
  double low = 0, high = 1, step = 0.2, from = 0, to = 1;  // values, and where they lie in the picture

  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
  int decimals() const { return std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9))); }
};

/// An axis whose marks are round numbers, `about` of them. `round_out` moves the ends to marks.
Axis make_axis(double low, double high, int about, bool round_out) {
  if (!(high > low)) {
    const double pad = std::max(0.5, 0.1 * std::abs(low));
    low -= pad;
    high += pad;
  }
  const double raw = (high - low) / about, power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double round : {1.0, 2.0, 5.0}) {
    if (round * power >= raw * (1 - 1e-9)) {
      step = round * power;
      break;
    }
  }
  if (round_out) {
    low = std::floor(low / step + 1e-9) * step;
    high = std::ceil(high / step - 1e-9) * step;
  }
  return {low, high, step};
}

std::string number(double value) { return fixed(value, 1); }

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return "<line class=\"" + std::string(style) + "\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) +
         "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\"/>";
}

std::string text(double x, double y, const char* style, const std::string& what) {
  return "<text class=\"" + std::string(style) + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\">" +
         html_escape(what) + "</text>";
}

std::string axes(const ChartOptions& options, const Axis& x, const Axis& y) {
  std::string svg;
  const auto marks = [](const Axis& axis, const auto& draw) {
    const double first = std::ceil(axis.low / axis.step - 1e-9);
    for (double k = first; k * axis.step <= axis.high + 1e-9 * axis.step; ++k)
      draw(k * axis.step + 0.0);  // no minus before a zero
  };
  marks(y, [&](double value) {
    svg += line(left_margin, y(value), chart_width - right_margin, y(value), "grid");
    svg += text(left_margin - 8, y(value) + 4, "tick end", fixed(value, y.decimals()));
  });
  marks(x, [&](double value) {
    svg += line(x(value), chart_height - bottom_margin, x(value), chart_height - bottom_margin + 4, "axis");
    svg += text(x(value), chart_height - bottom_margin + 18, "tick middle", fixed(value, x.decimals()));
  });
  svg += line(left_margin, chart_height - bottom_margin, chart_width - right_margin,
              chart_height - bottom_margin, "axis");
  svg +=
      text((left_margin + chart_width - right_margin) / 2, chart_height - 6, "label middle", options.x_label);
  svg += "<text class=\"label middle\" transform=\"translate(13 " +
         number((top_margin + chart_height - bottom_margin) / 2) + ") rotate(-90)\">" +
         html_escape(options.y_label) + "</text>";
  return svg;
}

std::string legend(const std::vector<Series>& series) {
  std::string html = "<div class=\"legend\">";
  for (const Series& s : series)
    html += "<span><i class=\"swatch s" + std::to_string(s.color) + (s.dashed ? " dashed" : "") + "\"></i>" +
            html_escape(s.name) + "</span>";
  return html + "</div>";
}

std::string frame(const ChartOptions& options, const std::vector<Series>& series, const std::string& svg,
                  const Json& hover) {
  return "<div class=\"chart\">" + legend(series) + "<svg viewBox=\"0 0 " + fixed(chart_width, 0) + " " +
         fixed(chart_height, 0) + "\" role=\"img\" aria-label=\"" +
         html_escape(options.y_label + " against " + options.x_label) + "\" data-hover=\"" +
         html_escape(hover.dump(-1, ' ', false, Json::error_handler_t::replace)) + "\">" + svg +
         "</svg></div>\n";
}

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

std::string line_chart(const ChartOptions& options, const std::vector<Series>& series) {
  constexpr double unbounded = std::numeric_limits<double>::infinity();
  double x_low = unbounded, x_high = -unbounded, y_low = unbounded, y_high = -unbounded;
  const auto shown = [](const Series& s, std::size_t i) {
    return std::isfinite(s.x[i]) && std::isfinite(s.y[i]);
  };
  for (const Series& s : series) {
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (!shown(s, i)) continue;
      x_low = std::min(x_low, s.x[i]), x_high = std::max(x_high, s.x[i]);
      y_low = std::min(y_low, s.y[i]), y_high = std::max(y_high, s.y[i]);
    }
  }
  if (x_low > x_high) return "<p class=\"quiet\">no data</p>\n";
  Axis x = make_axis(x_low, x_high, 7, false);
  Axis y = make_axis(options.y_min.value_or(y_low), options.y_max.value_or(y_high), 5, true);
  if (options.x_decimals == 0) x.step = std::max(1.0, x.step);
  x.from = left_margin + 8, x.to = chart_width - right_margin - 8;
  y.from = chart_height - bottom_margin, y.to = top_margin;

  std::string svg = axes(options, x, y);
  Json hover = {{"label", options.x_label}, {"points", Json::array()}};
  for (const Series& s : series) {
    const std::string color = "s" + std::to_string(s.color);
    std::string path, dots;
    std::size_t points = 0;
    for (std::size_t i = 0; i < s.x.size(); ++i) points += shown(s, i);
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (!shown(s, i)) continue;
      path += (path.empty() ? "M" : "L") + number(x(s.x[i])) + " " + number(y(s.y[i]));
      hover["points"].push_back({{"x", fixed(s.x[i], options.x_decimals)},
                                 {"px", std::round(10 * x(s.x[i])) / 10},
                                 {"py", std::round(10 * y(s.y[i])) / 10},
                                 {"name", s.name},
                                 {"color", s.color},
                                 {"y", fixed(s.y[i], options.y_decimals)}});
      if (points <= 12)
        dots += "<circle class=\"dot " + color + "\" r=\"2.6\" cx=\"" + number(x(s.x[i])) + "\" cy=\"" +
                number(y(s.y[i])) + "\"/>";
    }
    svg += "<path class=\"curve " + color + (s.dashed ? " dashed" : "") + "\" d=\"" + path + "\"/>" + dots;
  }
  return frame(options, series, svg, hover);
}

std::string histogram(const ChartOptions& options, const std::vector<double>& edges,
                      const std::vector<Series>& series) {
  double highest = 0;
  for (const Series& s : series) {
    for (const double value : s.y) highest = std::max(highest, value);
  }
  if (edges.size() < 2 || highest == 0) return "<p class=\"quiet\">no data</p>\n";
  Axis x = make_axis(edges.front(), edges.back(), 8, false);
  Axis y = make_axis(0, highest, 5, true);
  x.from = left_margin + 8, x.to = chart_width - right_margin - 8;
  y.from = chart_height - bottom_margin, y.to = top_margin;
  std::string svg = axes(options, x, y);
  Json hover = {{"label", options.x_label}, {"points", Json::array()}};
  for (std::size_t b = 0; b + 1 < edges.size(); ++b) {
    const double left = x(edges[b]),
                 width = (x(edges[b + 1]) - left) * 0.86 / static_cast<double>(series.size());
    for (std::size_t k = 0; k < series.size(); ++k) {
      const Series& s = series[k];
      const double top = y(s.y[b]);
      svg += "<rect class=\"bar s" + std::to_string(s.color) + "\" x=\"" +
             number(left + static_cast<double>(k) * width) + "\" y=\"" + number(top) + "\" width=\"" +
             number(width) + "\" height=\"" + number(y.from - top) + "\"/>";
      hover["points"].push_back(
          {{"x", fixed(edges[b], options.x_decimals) + " to " + fixed(edges[b + 1], options.x_decimals)},
           {"px", std::round(10 * (left + x(edges[b + 1])) / 2) / 10},
           {"name", s.name},
           {"color", s.color},
           {"y", fixed(s.y[b], options.y_decimals)}});
    }
  }
  return frame(options, series, svg, hover);
}

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
