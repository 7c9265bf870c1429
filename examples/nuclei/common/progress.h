#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace nuclei {

/// A duration for people: "45s", "1m 20s", "2h 5m", "3d 4h".
std::string format_duration(double seconds);

double seconds_since(std::chrono::steady_clock::time_point begin);

/// Shows how far a task is: a bar with the time left on a terminal, elsewhere (a log file) a plain
/// line now and then. Writes to `out`, standard error unless told otherwise. Not thread-safe.
class Progress {
 public:
  enum class Show { steps, percent, nothing };

  /// `total` is the number of steps; 0 or less if there is nothing to do.
  Progress(std::string label, std::int64_t total, std::FILE* out = stderr, Show show = Show::steps);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// `done` steps of the total are done; `extra` (a loss, a file name) follows the numbers.
  /// Cheap: it draws no more often than anyone can read.
  void update(std::int64_t done, std::string_view extra = {});

  /// A line of text above the bar, or between the lines of a log. It and `extra` are shown as printable().
  void say(std::string_view text);

  /// Shows the last state and ends the line. Later calls do nothing. The destructor calls it, so an
  /// exception's message starts on a fresh line.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void draw(Clock::time_point now);

  std::string label_, extra_;
  std::int64_t total_, done_ = 0, drawn_ = -1;
  std::FILE* out_;
  Show show_;
  bool terminal_, finished_ = false;
  Clock::time_point start_, last_drawn_;
};

}  // namespace nuclei
