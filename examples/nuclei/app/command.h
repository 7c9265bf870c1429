#pragma once

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace nuclei {

/// Exit codes besides 0.
inline constexpr int failed = 1, bad_usage = 2;

/// A command of the program. Its file holds its options, their checks, and what it prints.
class Command {
 public:
  Command(const char* name, const char* description) : name_(name), description_(description) {}
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  const char* name() const { return name_; }
  const char* description() const { return description_; }

  /// Adds the command's options. `app` lives as long as the command.
  virtual void add_options(CLI::App& app) = 0;
  /// Does what the options say. Throws UsageError, Failure or karyon::Error.
  ///   returns  the exit code
  virtual int run() = 0;
  /// Whether processes that mpirun or srun started do the command together.
  virtual bool shares_work() const { return false; }

 private:
  const char *name_, *description_;
};

std::unique_ptr<Command> arrange_command();
std::unique_ptr<Command> demo_command();
std::unique_ptr<Command> doctor_command();
std::unique_ptr<Command> evaluate_command();
std::unique_ptr<Command> info_command();
std::unique_ptr<Command> predict_command();
std::unique_ptr<Command> shrink_command();
std::unique_ptr<Command> train_command();

/// Does what the command line says, and prints errors.
///   returns  the exit code
int run_command_line(int argc, char** argv);

/// Accepts one of these words; what else comes is an error that names the nearest.
CLI::Validator choice(const std::vector<std::string>& words);

/// Options that several commands have.
void add_threads_and_device(CLI::App& app, std::string& device);

/// f32, tf32 or bf16.
///   effect  the end of the help text: what bf16 changes
void add_precision(CLI::App& app, std::string& precision, const std::string& effect);

/// How the network looks at an image: --tta, --zoom.
void add_tta(CLI::App& app, bool& tta);
void add_zoom(CLI::App& app, double& zoom);
void add_ignore_faults(CLI::App& app, bool& ignore);

/// The group of options that choose a picture of a file, and one of them.
inline constexpr const char* choice_group = "Which picture of a file";
void add_channel(CLI::App& app, std::string& channel);

/// What bf16 changes in the nuclei that are found.
inline constexpr const char* bf16_outlines = "and outlines differ by a pixel here and there";

}  // namespace nuclei
