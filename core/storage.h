#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

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
  void bump_version() {
    version_.fetch_add(1, std::memory_order_relaxed);
    if (has_derived_.load(std::memory_order_relaxed)) keep_derived(nullptr);
  }

  /// What a kernel made of the contents (packed filters, say) and keeps with them until they change or die.
  std::shared_ptr<void> derived() const {
    const std::lock_guard lock(derived_mutex_);
    return derived_;
  }
  void keep_derived(std::shared_ptr<void> derived) {
    const std::lock_guard lock(derived_mutex_);
    has_derived_.store(derived != nullptr, std::memory_order_relaxed);
    derived_.swap(derived);
  }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<bool> has_derived_{false};
  mutable std::mutex derived_mutex_;
  std::shared_ptr<void> derived_;
};

}  // namespace karyon
