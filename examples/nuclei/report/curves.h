#pragma once

#include <string>

namespace nuclei {

/// The curves of a training: the columns of its metrics.csv by name, so that a column more is a curve more.
/// Nothing where the table has no row.
std::string training_curves(const std::string& metrics_csv);

}  // namespace nuclei
