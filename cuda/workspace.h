#pragma once
#include <karyon/cuda/allocator.h>

namespace karyon::cuda {

/// Scratch memory for the kernels of one call; unspecified contents, aligned to 256 bytes. It may be freed as
/// soon as the kernels are launched.
class Workspace {
 public:
  explicit Workspace(std::size_t bytes) : data_(bytes > 0 ? allocator().allocate(bytes) : nullptr) {}
  ~Workspace() {
    if (data_) allocator().deallocate(data_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  template <class T>
  T* data() {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
};

}  // namespace karyon::cuda
