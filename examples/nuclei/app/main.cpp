// nuclei: finds cell nuclei in microscopy images, and learns to. See docs/how-to/nuclei.md.
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/parallel.h>
#include <karyon/core/version.h>
#include <CLI/CLI.hpp>

#include "app/command.h"
#include "common/error.h"
#include "common/stop.h"

namespace {

using namespace nuclei;

constexpr const char* footer =
    "Examples:\n"
    "  nuclei demo                                              see it work, without any data\n"
    "  nuclei doctor --data stage1_train                        say what is wrong with a data set\n"
    "  nuclei train --data stage1_train --out run               learn from the Data Science Bowl 2018\n"
    "  nuclei predict image.tif folder                          find nuclei, in nuclei-out/\n"
    "  nuclei evaluate --model run/model.safetensors --data stage1_test\n"
    "Exit codes: 0 done, 1 something failed, 2 the command line makes no sense, 128 + its number where a\n"
    "signal (Ctrl-C: 130) stopped it.";

int run(Command& command) {
  try {
    karyon::num_threads();  // KARYON_NUM_THREADS may be wrong
  } catch (const karyon::Error& e) {
    throw UsageError(e.what());
  }
  const int code = command.run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout.flush())
    throw Failure("standard output cannot be written: is the disk full?");
  return code;
}

int report(const std::exception& error, int code) {
  std::fprintf(stderr, "nuclei: %s\n", error.what());
  return code;
}

int run(int argc, char** argv) {
  CLI::App app{"nuclei finds cell nuclei in microscopy images, and learns to from examples."};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("nuclei ") + karyon::version());
  app.footer(footer);
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto make : {train_command, evaluate_command, arrange_command, doctor_command, predict_command,
                          info_command, shrink_command, demo_command}) {
    const auto& command = commands.emplace_back(make());
    command->add_options(*app.add_subcommand(command->name(), command->description()));
  }
  try {
    app.parse(argc, argv);
    for (const auto& command : commands)
      if (app.got_subcommand(command->name())) return run(*command);
    return 0;
  } catch (const CLI::ParseError& e) {
    return app.exit(e, std::cout, std::cerr) == 0 ? 0 : bad_usage;
  } catch (const UsageError& e) {
    return report(e, bad_usage);
  } catch (const Stopped& e) {
    return report(e, StopOnSignal::exit_code());
  } catch (const std::exception& e) {
    return report(e, failed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A file that may not grow further is an error to report, not a reason to die half-way.
  std::signal(SIGXFSZ, SIG_IGN);
  return run(argc, argv);
}
