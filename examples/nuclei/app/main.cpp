// nuclei: finds cell nuclei in microscopy images, and learns to. See docs/how-to/nuclei.md.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "app/command.h"

namespace {

// Destructors of the JSON library allocate, and one that cannot ends the program. That is the end of the run
// as any other lack of memory: files are whole or not there.
[[noreturn]] void on_terminate() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    constexpr std::string_view text = "nuclei: not enough memory; close other programs, or ask for less\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    std::_Exit(nuclei::failed);
  } catch (...) {
    // A fault of ours: the system keeps what is needed to find it.
  }
  std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(on_terminate);
  // A file that may not grow further is an error to report, not a reason to die half-way.
  std::signal(SIGXFSZ, SIG_IGN);
  return nuclei::run_command_line(argc, argv);
}
