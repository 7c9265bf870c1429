#include "app/command.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <new>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/parallel.h>
#include <karyon/core/version.h>

#include "common/error.h"
#include "common/nearest.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "common/text.h"
#include "inference/segmenter.h"

namespace nuclei {
namespace {

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
  if (Ranks::started() > 1 && !command.shares_work())
    throw UsageError(std::string("nuclei ") + command.name() +
                     " works in one process; start it without mpirun or srun");
  const int code = command.run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout.flush())
    throw Failure("standard output cannot be written: is the disk full?");
  Ranks::leave();
  return code;
}

int report(const std::exception& error, int code) {
  if (Ranks::may_speak(error)) std::fprintf(stderr, "nuclei: %s\n", printable(error.what()).c_str());
  Ranks::end(code);
  return code;
}

/// Prints the help text that was asked for, or what is wrong with the command line.
int report(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream text;
  const int code = app.exit(error, std::cout, text) == 0 ? 0 : bad_usage;
  std::istringstream lines(text.str());
  for (std::string line; std::getline(lines, line);) std::fprintf(stderr, "%s\n", printable(line).c_str());
  return code;
}

/// A word of the command line that is neither a command nor an option. CLI11 tells that something is missing
/// first, which a misspelt word explains.
void refuse_unknown(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  const CLI::App& command = parsed.empty() ? app : *parsed.front();
  const std::string name = parsed.empty() ? "nuclei" : "nuclei " + command.get_name();
  for (const std::string& argument : command.remaining()) {
    const std::string word = argument.substr(0, argument.find('='));
    std::vector<std::string> known;
    if (word.size() > 1 && word.front() == '-') {
      for (const CLI::Option* option : command.get_options())
        for (const std::string& option_name : option->get_lnames()) known.push_back("--" + option_name);
      throw UsageError("there is no option " + word + did_you_mean(word, known) + " (" + name +
                       " --help lists all)");
    }
    if (!parsed.empty()) continue;
    for (const CLI::App* one : app.get_subcommands({})) known.push_back(one->get_name());
    const std::string meant = did_you_mean(word, known);
    std::error_code ignored;
    throw UsageError("there is no command " + word +
                     (meant.empty() && std::filesystem::exists(word, ignored)
                          ? "; did you mean nuclei predict " + word + "?"
                          : meant) +
                     " (nuclei --help lists all)");
  }
}

int parse_and_run(CLI::App& app, int argc, char** argv,
                  const std::vector<std::unique_ptr<Command>>& commands) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) refuse_unknown(app);
    return report(app, e);
  } catch (const std::out_of_range&) {  // CLI11 reads the value of a flag with std::stoll
    throw UsageError("an option that takes no value has a number that is too large");
  }
  for (const auto& command : commands)
    if (app.got_subcommand(command->name())) return run(*command);
  return 0;
}

}  // namespace

int run_command_line(int argc, char** argv) try {
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
  return parse_and_run(app, argc, argv, commands);
} catch (const UsageError& e) {
  return report(e, bad_usage);
} catch (const Stopped& e) {
  return report(e, StopOnSignal::exit_code());
} catch (const std::bad_alloc&) {
  return report(
      Failure("not enough memory; close other programs, or ask for less (--max-memory, --batch-size)"),
      failed);
} catch (const std::filesystem::filesystem_error& e) {
  return report(e, failed);
} catch (const std::system_error& e) {
  const bool threads = e.code() == std::errc::resource_unavailable_try_again;
  return report(
      Failure(e.what() + std::string(threads ? ": no more threads; use fewer (--threads), or raise the "
                                               "limit (ulimit -u)"
                                             : "")),
      failed);
} catch (const std::exception& e) {
  return report(e, failed);
}

CLI::Validator choice(const std::vector<std::string>& words) {
  std::string all;
  for (std::size_t i = 0; i < words.size(); ++i)
    all += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + words[i];
  return CLI::Validator(
      [words, all](const std::string& word) {
        if (std::ranges::find(words, word) != words.end()) return std::string();
        return "expects " + all + ", got '" + word + "'" + did_you_mean(word, words);
      },
      "", "choice");
}

void add_threads_and_device(CLI::App& app, std::string& device) {
  app.add_option_function<int>(
         "--threads", karyon::set_num_threads,
         "threads to compute with (default: KARYON_NUM_THREADS, or all processors); training "
         "with 2 or more has one more that cuts crops ahead")
      ->check(CLI::Range(1, 1024));
  app.add_option("--device", device, "auto, cpu or cuda")
      ->check(choice({"auto", "cpu", "cuda"}))
      ->capture_default_str();
}

void add_precision(CLI::App& app, std::string& precision, const std::string& effect) {
  app.add_option("--precision", precision,
                 "f32, or bf16: products are faster where the processor or GPU has them, " + effect +
                     "; tf32: f32, with products rounded to 10 bits on a GPU")
      ->check(choice({"f32", "tf32", "bf16"}))
      ->capture_default_str();
}

void add_tta(CLI::App& app, bool& tta) {
  app.add_flag("--tta", tta,
               "average over eight turned and mirrored versions: a little better, eight times as slow");
}

void add_zoom(CLI::App& app, double& zoom) {
  app.add_option_function<std::string>(
         "--zoom",
         [&zoom](const std::string& text) {
           zoom = text == "auto" ? auto_zoom : std::strtod(text.c_str(), nullptr);
         },
         "how many times larger the network sees an image: 0.25, 0.5, 1, 2, 4, or auto, which measures the "
         "nuclei: below " +
             std::to_string(static_cast<int>(small_diameter)) +
             " pixels on a dark background it is 2, above " +
             std::to_string(static_cast<int>(large_diameter)) + " it is 0.25, from 40 on it may be 0.5")
      ->check(choice({"auto", "0.25", "0.5", "1", "2", "4"}))
      ->default_str("auto");
}

void add_ignore_faults(CLI::App& app, bool& ignore) {
  app.add_flag("--ignore-faults", ignore, "go on where nuclei doctor finds errors in the data");
}

void add_channel(CLI::App& app, std::string& channel) {
  app.add_option("--channel", channel, "channel with the nuclei, by number (from 1) or name")
      ->group(choice_group);
}

}  // namespace nuclei
