#include "output/bowl.h"

namespace nuclei {

std::string bowl_runs(const std::vector<Run>& runs, int height) {
  std::string text;
  for (const Span& span : column_spans(runs, height))
    text += (text.empty() ? "" : " ") + std::to_string(span.start + 1) + ' ' + std::to_string(span.length);
  return text;
}

}  // namespace nuclei
