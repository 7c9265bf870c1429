#pragma once
#include <karyon/cuda/allocator.h>
#include <karyon/cuda/context.h>

namespace karyon::cuda {

/// Scratch memory for the kernels of one call, on the calling thread's stream; unspecified contents, aligned
/// to 256 bytes. It may be freed as soon as the kernels are launched.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes)
      : stream_(context().stream), data_(bytes > 0 ? allocator().allocate(bytes, stream_) : nullptr) {}
  ~Workspace() {
    if (data_) allocator().deallocate(data_, stream_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  template <class T>
  T* data() {
    return static_cast<T*>(data_);
  }

 private:
  cudaStream_t stream_;
  void* data_;
};

}  // namespace karyon::cuda
