#include "stop.h"

namespace nuclei {
namespace {

volatile std::sig_atomic_t requested = 0;

}  // namespace

StopOnSignal::StopOnSignal() {
  requested = 0;
  struct sigaction action = {};
  action.sa_handler = [](int signal) { requested = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

StopOnSignal::~StopOnSignal() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

int StopOnSignal::signal() { return requested; }

}  // namespace nuclei
