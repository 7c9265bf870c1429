#pragma once

#include <string>

#include "imageio/image.h"
#include "instances/label_map.h"

namespace nuclei::test {

/// '.' is background, letters are labels from 'a' = 1; rows separated by spaces.
inline LabelMap drawn_labels(int width, int height, const std::string& drawing) {
  std::vector<std::int32_t> labels;
  for (const char c : drawing)
    if (c != ' ') labels.push_back(c == '.' ? 0 : c - 'a' + 1);
  return {width, height, 1, labels};
}

/// The same in a single row.
inline LabelMap drawn_row(const std::string& drawing) {
  return drawn_labels(static_cast<int>(drawing.size()), 1, drawing);
}

/// An image of one brightness.
inline Image flat_image(int width, int height, float value) {
  return {width, height, 1, std::vector<float>(pixel_count(width, height), value)};
}

}  // namespace nuclei::test
