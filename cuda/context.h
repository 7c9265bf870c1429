#pragma once
#include <cuda_runtime_api.h>

namespace karyon::cuda {

/// The stream for the calling thread's work. All threads share one stream unless a StreamGuard says
/// otherwise, so a tensor of one thread can be read by another without further steps.
struct Context {
  cudaStream_t stream = nullptr;
  int device = 0;
  const cudaDeviceProp& properties;
};

/// The calling thread's context, made on first use. Throws Error if the device refuses.
Context& context();

/// Sends the calling thread's work to `stream` while it lives. The caller orders it against other streams;
/// memory is safe: see Allocator.
class StreamGuard {
 public:
  explicit StreamGuard(cudaStream_t stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  cudaStream_t before_;
};

}  // namespace karyon::cuda
