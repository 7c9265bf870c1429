#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace nuclei {

/// The value at position share * (count - 1) of the values in ascending order. The values are reordered.
template <class T>
T quantile(std::vector<T>& values, double share) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace nuclei
