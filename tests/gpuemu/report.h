#pragma once
#include <stdexcept>
#include <string>

namespace gpuemu {

/// Ends the kernel that runs: what a device would answer with a sticky error. `code` is a cudaError_t.
struct KernelFault : std::runtime_error {
  KernelFault(int error, const std::string& what) : std::runtime_error(what), code(error) {}
  int code;
};

/// Prints `text` on stderr as one line "gpuemu: report: ...". The same `key` is reported once.
void report(const std::string& key, const std::string& text);

/// How many reports there were.
int report_count();

constexpr int report_exit_code = 86;

/// Lets the process exit with report_exit_code, whatever it returns, if anything was reported until then.
void fail_process_on_reports();

}  // namespace gpuemu
