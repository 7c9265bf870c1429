#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace karyon {

/// An operation or a range that ran while a Profiler recorded.
struct ProfileEvent {
  std::string name;          ///< of the kernel, the range, the module or the gradient
  std::string tensors = {};  ///< an operation's inputs and outputs: "f32[8, 3], f32[3]"
  std::int64_t bytes = 0;    ///< their sizes in sum
  int thread = 0;            ///< 0, 1, ... in the order of their first event
  double begin = 0;          ///< microseconds since the recording began
  double duration = 0;       ///< microseconds
  bool backward = false;     ///< within backward()
  bool range = false;        ///< not an operation: a time in which others ran
};

/// Records the operations of all threads while it lives, as torch.profiler.profile. Without one, an operation
/// pays for one look at a flag. On a GPU the time of an operation is that of its launch.
///
///     Profiler profiler;
///     loss(net(x)).backward();
///     profiler.save_chrome_trace("trace.json");  // for chrome://tracing or ui.perfetto.dev
///     std::cout << profiler.table();
class Profiler {
 public:
  /// Starts to record. Throws Error if another Profiler does.
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Ends the recording.
  void stop();
  /// What ended so far, in the order of ends.
  std::vector<ProfileEvent> events() const;
  /// Calls, milliseconds and megabytes of the operations by name, those that took longest first.
  std::string table(std::size_t rows = 20) const;
  /// Writes the events in Chrome's trace format. Throws Error naming the path.
  void save_chrome_trace(const std::filesystem::path& path) const;

 private:
  std::vector<ProfileEvent> events_;
};

/// True while a Profiler records.
inline bool profiling();

/// A range of a name in the trace while it lives: the loading of data, say. Modules and gradients make theirs.
class ProfileRange {
 public:
  explicit ProfileRange(std::string_view name, bool backward = false) : on_(profiling()) {
    if (on_) begin(name, backward);
  }
  ~ProfileRange() {
    if (on_) end();
  }
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;

 private:
  void begin(std::string_view name, bool backward);
  void end();

  bool on_, before_ = false;
  std::string name_;
  std::chrono::steady_clock::time_point begin_;
};

extern std::atomic<bool> profiling_is_on;  // set by a Profiler
inline bool profiling() { return profiling_is_on.load(std::memory_order_relaxed); }

}  // namespace karyon
