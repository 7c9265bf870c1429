#pragma once

#include <stdexcept>

namespace nuclei {

/// All errors of the application are thrown as one of these two. The text reads
/// "what was being done: what was expected, what came, what to do", and main() prints it as it is.

/// The command line asks for something that makes no sense; exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file, a folder or the data in it is not as it must be; exit code 1.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace nuclei
