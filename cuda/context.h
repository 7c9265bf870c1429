#pragma once
#include <cuda_runtime_api.h>

namespace karyon::cuda {

/// Where the calling thread's work goes. All threads share one stream, so that a tensor made by one can be
/// read by another without further ado, unless a StreamGuard says otherwise.
struct Context {
  cudaStream_t stream = nullptr;
  int device = 0;
  const cudaDeviceProp& properties;
};

/// The calling thread's context, made on first use. Throws Error if the device refuses.
Context& context();

/// Sends the calling thread's work to `stream` while it lives. What other streams wait for is up to the
/// caller; memory is safe: see Allocator.
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
