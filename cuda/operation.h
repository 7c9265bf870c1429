#pragma once
#include <nvtx3/nvToolsExt.h>

#include <utility>

namespace karyon::cuda {

/// Names the operation that the calling thread runs: in errors, and as a range in the timeline of NVIDIA's
/// profiler (NVTX).
class Operation {
 public:
  explicit Operation(const char* name) noexcept : before_(std::exchange(current_, name)) {
    nvtxRangePushA(name);
  }
  ~Operation() {
    nvtxRangePop();
    current_ = before_;
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  /// The name of the innermost one; nullptr if there is none.
  static const char* current() { return current_; }

 private:
  const char* before_;
  static inline thread_local const char* current_ = nullptr;
};

}  // namespace karyon::cuda
