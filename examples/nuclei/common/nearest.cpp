#include "common/nearest.h"

#include <algorithm>
#include <utility>

namespace nuclei {
namespace {

/// How many letters are wrong, missing, too many, or swapped with their neighbour.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest = 64, beginning = 3;
  if (word.size() > longest) return {};
  const std::size_t letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  std::string best;
  std::size_t fewest = letters <= 3 ? 1 : letters <= 5 ? 2 : 3;  // wrong letters
  for (const std::string& candidate : candidates) {
    const std::size_t wrong =
        letters >= beginning && candidate.starts_with(word) ? 0 : distance(word, candidate);
    if (wrong > fewest || (wrong == fewest && !best.empty())) continue;
    best = candidate;
    fewest = wrong;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string meant = nearest(word, candidates);
  return meant.empty() ? "" : "; did you mean " + meant + "?";
}

}  // namespace nuclei
