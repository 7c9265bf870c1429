#pragma once

#include <string>

#include "instances/segment.h"

/// '.' is background, letters are labels from 'a' = 1; rows separated by spaces.
inline nuclei::LabelMap drawn_labels(int width, int height, const std::string& drawing) {
  nuclei::LabelMap map{width, height, {}};
  for (const char c : drawing)
    if (c != ' ') map.labels.push_back(c == '.' ? 0 : c - 'a' + 1);
  return map;
}
