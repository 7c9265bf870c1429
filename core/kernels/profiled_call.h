#pragma once
#include <chrono>
#include <string>
#include <vector>

#include <karyon/core/profiler.h>
#include <karyon/core/tensor.h>

namespace karyon {

/// Tells the Profiler of one call of a kernel while it lives.
class ProfiledCall {
 public:
  ProfiledCall(const char* name, const std::vector<const Tensor*>& tensors);
  ~ProfiledCall();
  ProfiledCall(const ProfiledCall&) = delete;
  ProfiledCall& operator=(const ProfiledCall&) = delete;

 private:
  const char* name_;
  std::string tensors_;
  std::int64_t bytes_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace karyon
