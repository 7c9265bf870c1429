#pragma once

#include <memory>

namespace CLI {
class App;
}

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

}  // namespace nuclei
