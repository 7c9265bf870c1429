#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nuclei {

/// The candidate that a misspelt word was meant to be: it is a few letters away, or the word is its
/// beginning. Empty if there is none.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "; did you mean predict?", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace nuclei
