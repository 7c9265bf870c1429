#pragma once
#include <map>
#include <string>

#include <karyon/core/check.h>

// Private: names with dots, as those of state dicts.
namespace karyon {

/// The values whose names begin with `prefix` and a dot, without both; all for no prefix.
template <class T>
std::map<std::string, T> below(const std::string& prefix, const std::map<std::string, T>& all) {
  if (prefix.empty()) return all;
  const std::string start = prefix.ends_with('.') ? prefix : prefix + '.';
  std::map<std::string, T> found;
  for (auto it = all.lower_bound(start); it != all.end() && it->first.starts_with(start); ++it)
    found.emplace(it->first.substr(start.size()), it->second);
  return found;
}

/// Throws Error, which begins with `where`, if a prefix was given and nothing is below it.
template <class T>
void check_found(const std::string& where, const std::string& prefix, const std::map<std::string, T>& found,
                 const std::map<std::string, T>& all) {
  check(prefix.empty() || !found.empty(), where, "has no tensors below '", prefix, "'",
        all.empty() ? "" : "; its first is '" + all.begin()->first + "'");
}

}  // namespace karyon
