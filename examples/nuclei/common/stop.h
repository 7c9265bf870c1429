#pragma once

#include <csignal>

#include "common/error.h"

namespace nuclei {

/// While one of these lives, Ctrl-C (SIGINT) and SIGTERM ask for a stop; a second one half a second later or
/// more ends the process at once. A sooner one counts as the same request: timeout(1) and batch systems
/// signal both the process and its group.
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  /// The signal that asked, or 0. It stays until the next StopOnSignal is made.
  static int signal();
  /// 128 + the signal, as shells have it, or 0.
  static int exit_code() { return signal() == 0 ? 0 : 128 + signal(); }

 private:
  struct sigaction old_int_ = {}, old_term_ = {};
};

/// A signal stopped a task before there was anything to keep.
struct Stopped : Failure {
  using Failure::Failure;
};

}  // namespace nuclei
