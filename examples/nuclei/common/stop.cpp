#include "common/stop.h"

#include <atomic>
#include <ctime>

namespace nuclei {
namespace {

constexpr double same_request = 0.5;  // seconds

std::atomic<int> requested = 0;
std::atomic<double> requested_at = 0;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<double>::is_always_lock_free,
              "a signal handler uses them");

double now() {
  std::timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void handle(int signal) {
  if (!requested) {
    requested_at = now();
    requested = signal;
  } else if (now() - requested_at >= same_request) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

StopOnSignal::StopOnSignal() {
  requested = 0;
  struct sigaction action = {};
  action.sa_handler = handle;
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

StopOnSignal::~StopOnSignal() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

int StopOnSignal::signal() { return requested; }

}  // namespace nuclei
