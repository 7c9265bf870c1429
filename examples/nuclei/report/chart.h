#pragma once

#include <optional>
#include <string>
#include <vector>

namespace nuclei {

struct Series {
  std::string name;
  std::vector<double> x, y;  // of the same length; values that are not finite are left out
  int color = 1;             // 1..5, --series-1 ... of the page's style
  bool dashed = false;
};

struct ChartOptions {
  std::string x_label, y_label;
  std::optional<double> y_min, y_max;  // not given: what holds all values
  int x_decimals = 0, y_decimals = 3;  // of the values shown under the pointer
};

/// Curves as an <svg> with axes and a legend; the page's script shows the values under the pointer. The text
/// alone says "no data" where there is no finite value.
std::string line_chart(const ChartOptions& options, const std::vector<Series>& series);

/// Bars side by side over bins: `edges` has one value more than each series' y; x is not used.
std::string histogram(const ChartOptions& options, const std::vector<double>& edges,
                      const std::vector<Series>& series);

/// The curves of a training: one for each column of its metrics.csv. Empty if the table has no row.
std::string training_curves(const std::string& metrics_csv);

}  // namespace nuclei
