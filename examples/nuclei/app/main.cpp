// nuclei: finds cell nuclei in microscopy images, and learns to. See docs/how-to/nuclei.md.
#include <csignal>

#include "app/command.h"

int main(int argc, char** argv) {
  // A file that may not grow further is an error to report, not a reason to die half-way.
  std::signal(SIGXFSZ, SIG_IGN);
  return nuclei::run_command_line(argc, argv);
}
