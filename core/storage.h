#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <karyon/core/backend.h>

namespace karyon {

class Storage;

/// Contents that are not in memory until somebody asks for them. A kernel that knows their kind reads what
/// they are made of instead, and a pass over memory is spared: see core/kernels/deferred.h.
class Deferred {
 public:
  Deferred() = default;
  virtual ~Deferred() = default;
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  /// The contents in memory of their own.
  virtual std::shared_ptr<Storage> make() const = 0;
};

/// What a kernel made of the contents of memory and keeps with them: packed filters, channels' moments.
class Derived {
 public:
  Derived() = default;
  virtual ~Derived() = default;
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;
};

/// A block of device memory, shared by the tensors that view it.
class Storage {
 public:
  Storage(std::size_t bytes, Device device)
      : data_(backend(device.type).allocate(bytes, device.index)), bytes_(bytes), device_(device) {}
  /// Memory that is made when data() is first called.
  Storage(std::size_t bytes, Device device, std::shared_ptr<const Deferred> contents)
      : data_(nullptr), bytes_(bytes), device_(device), deferred_(std::move(contents)) {}
  ~Storage() {
    if (data_ != nullptr && !made_) backend(device_.type).deallocate(data_, bytes_, device_.index);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const {
    void* const data = data_.load(std::memory_order_acquire);
    return data != nullptr ? data : make();
  }
  /// What data() would make the contents of; null once they are in memory.
  std::shared_ptr<const Deferred> deferred() const {
    if (data_.load(std::memory_order_acquire) != nullptr) return nullptr;
    const std::lock_guard lock(mutex_);
    return deferred_;
  }
  /// Before the contents change: makes what was deferred and would be made of them, and forgets what was
  /// derived from them.
  void settle() {
    if (has_derived_.load(std::memory_order_relaxed)) keep_derived(nullptr);
    if (!has_dependents_.load(std::memory_order_acquire)) return;
    std::vector<std::weak_ptr<Storage>> dependents;
    {
      const std::lock_guard lock(mutex_);
      dependents.swap(dependents_);
      has_dependents_.store(false, std::memory_order_relaxed);
    }
    for (const auto& dependent : dependents)
      if (const auto storage = dependent.lock()) storage->data();
  }
  void add_dependent(const std::shared_ptr<Storage>& dependent) {
    const std::lock_guard lock(mutex_);
    std::erase_if(dependents_, [](const auto& other) { return other.expired(); });
    dependents_.push_back(dependent);
    has_dependents_.store(true, std::memory_order_release);
  }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  /// Counts in-place changes: what was computed from the contents is stale once it has moved on.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() {
    version_.fetch_add(1, std::memory_order_relaxed);
    if (has_derived_.load(std::memory_order_relaxed)) keep_derived(nullptr);
  }

  /// What is kept with the contents until they change or die; or null.
  std::shared_ptr<Derived> derived() const {
    const std::lock_guard lock(mutex_);
    return derived_;
  }
  void keep_derived(std::shared_ptr<Derived> derived) {
    const std::lock_guard lock(mutex_);
    has_derived_.store(derived != nullptr, std::memory_order_relaxed);
    derived_.swap(derived);
  }

 private:
  void* make() const {
    const std::lock_guard lock(mutex_);
    if (data_ == nullptr) {
      made_ = deferred_->make();
      deferred_ = nullptr;
      data_.store(made_->data(), std::memory_order_release);
    }
    return data_;
  }

  mutable std::atomic<void*> data_;
  std::size_t bytes_;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<bool> has_derived_{false}, has_dependents_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<Derived> derived_;
  mutable std::shared_ptr<const Deferred> deferred_;
  mutable std::shared_ptr<Storage> made_;
  std::vector<std::weak_ptr<Storage>> dependents_;
};

}  // namespace karyon
