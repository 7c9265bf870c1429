#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <karyon/core/backend.h>

namespace karyon {

/// A block of device memory, shared by the tensors that view it.
class Storage {
 public:
  Storage(std::size_t bytes, Device device)
      : data_(backend(device.type).allocate(bytes, device.index)), bytes_(bytes), device_(device) {}
  ~Storage() { backend(device_.type).deallocate(data_, bytes_, device_.index); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  /// Counts in-place changes: what was computed from the contents is stale once it has moved on.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
};

}  // namespace karyon
