#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace karyon {

/// Thrown for every misuse of the library and every failure of a device it drives.
class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws Error with the concatenated message unless `ok`. The message costs nothing when it holds.
/// Convention: operation first, then what was expected and what came.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (ok) [[likely]]
    return;
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

}  // namespace karyon
