#pragma once

#include <string>

namespace nuclei {

/// The curves of a training: one for each column of its metrics.csv. Empty if the table has no row.
std::string training_curves(const std::string& metrics_csv);

}  // namespace nuclei
