#include "report.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>

namespace gpuemu {
namespace {

struct Reports {
  std::mutex mutex;
  std::set<std::string> keys;
};

Reports& reports() {
  static auto* all = new Reports;  // outlives every static of the program
  return *all;
}

/// Runs when the process exits by itself: a test that passed otherwise fails here.
void exit_with_reports() {
  if (report_count() == 0) return;
  std::fflush(nullptr);
  std::fprintf(stderr, "gpuemu: %d report(s), exit code %d\n", report_count(), report_exit_code);
  _exit(report_exit_code);
}

}  // namespace

void report(const std::string& key, const std::string& text) {
  const std::lock_guard lock(reports().mutex);
  if (!reports().keys.insert(key).second) return;
  std::fprintf(stderr, "gpuemu: report: %s\n", text.c_str());
}

void fail_process_on_reports() { std::atexit(exit_with_reports); }

int report_count() {
  const std::lock_guard lock(reports().mutex);
  return static_cast<int>(reports().keys.size());
}

}  // namespace gpuemu
