#pragma once
#include <cstdlib>
#include <string_view>

#include <karyon/core/check.h>

namespace karyon::cuda {

/// A switch in the environment: whether `name` is 1; 0, empty and unset are no. Throws Error for other
/// values.
inline bool environment_flag(const char* name) {
  const char* value = std::getenv(name);
  const std::string_view text = value ? value : "";
  check(text.empty() || text == "0" || text == "1", name, ": expects 0 or 1, got '", text, "'");
  return text == "1";
}

}  // namespace karyon::cuda
