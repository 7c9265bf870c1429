#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <typeindex>
#include <utility>
#include <vector>

#include <karyon/core/backend.h>
#include <karyon/core/lazy.h>

// Private: the memory that a tensor shares with its views.
namespace karyon {

/// A block of device memory, or the recipe to compute its contents, and the data cached for these contents.
class Storage {
 public:
  Storage(std::size_t bytes, Device device)
      : data_(backend(device.type).allocate(bytes, device.index)), bytes_(bytes), device_(device) {}
  /// Lazy: the first data() materializes the contents.
  Storage(std::size_t bytes, std::shared_ptr<const Lazy> recipe)
      : data_(nullptr), bytes_(bytes), device_(recipe->options().device), lazy_(std::move(recipe)) {
    if (lazy_->kept_for_backward()) recipe_ = lazy_;
  }
  /// Memory of the CPU that is not the library's. `release` (may be empty) is called in place of freeing it.
  Storage(void* data, std::size_t bytes, std::function<void()> release)
      : data_(data), bytes_(bytes), device_(Device::cpu()), borrowed_(true), release_(std::move(release)) {}
  ~Storage() {
    if (borrowed_) {
      if (release_) release_();
    } else if (data_ != nullptr && !materialized_) {
      backend(device_.type).deallocate(data_, bytes_, device_.index);
    }
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// The memory; materializes a lazy storage.
  void* data() const {
    void* const data = data_.load(std::memory_order_acquire);
    return data != nullptr ? data : materialize();
  }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// Whether the memory is the user's, or lent. It may then change at any time: nothing is cached for its
  /// contents, and no lazy result reads it later.
  bool borrowed() const { return borrowed_ || lent_.load(std::memory_order_relaxed); }
  /// From now on others may write to the memory.
  void lend() {
    lent_.store(true, std::memory_order_relaxed);
    release_readers();
  }

  /// The recipe that data() would compute the contents with; null once they are in memory.
  std::shared_ptr<const Lazy> lazy() const {
    if (data_.load(std::memory_order_acquire) != nullptr) return nullptr;
    const std::lock_guard lock(mutex_);
    return lazy_;
  }
  /// The recipe of the contents for a SavedTensor, whether they are in memory or not. Null if backward does
  /// not keep the recipe's sources, if the recipe has died with the graph, or if the contents were changed.
  std::shared_ptr<const Lazy> recipe() const {
    const std::lock_guard lock(mutex_);
    return recipe_.lock();
  }
  /// `dependent` is lazy and reads this storage.
  void add_dependent(const std::shared_ptr<Storage>& dependent) {
    const std::lock_guard lock(mutex_);
    std::erase_if(dependents_, [](const auto& other) { return other.expired(); });
    dependents_.push_back(dependent);
    has_dependents_.store(true, std::memory_order_release);
  }

  /// Counts changes in place. A result computed from the contents is stale if its version is older.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  /// Call before a change in place. Materializes the lazy results that read this storage, drops data cached
  /// for the old contents and increases the version.
  void before_write() {
    release_readers();
    const std::lock_guard lock(mutex_);
    recipe_.reset();
    version_.fetch_add(1, std::memory_order_relaxed);
  }
  /// The same without a new version, for a caller that asks for a pointer to write to.
  void release_readers() {
    if (has_caches_.load(std::memory_order_relaxed)) drop_caches();
    if (has_dependents_.load(std::memory_order_acquire)) materialize_dependents();
  }

  /// A value that a kernel computed from the contents, or null. It is kept until they change. There is one
  /// value of each type T.
  template <class T>
  std::shared_ptr<T> cache() const {
    const std::lock_guard lock(mutex_);
    const auto entry = caches_.find(typeid(T));
    return entry == caches_.end() ? nullptr : std::static_pointer_cast<T>(entry->second);
  }
  template <class T>
  void set_cache(std::shared_ptr<T> value) {
    if (borrowed()) return;
    std::shared_ptr<void> old = std::move(value);  // dies after the lock
    const std::lock_guard lock(mutex_);
    caches_[typeid(T)].swap(old);
    has_caches_.store(true, std::memory_order_relaxed);
  }

 private:
  void* materialize() const {
    const std::lock_guard lock(mutex_);
    if (data_ == nullptr) {
      materialized_ = lazy_->materialize().impl()->storage;
      lazy_ = nullptr;
      data_.store(materialized_->data(), std::memory_order_release);
    }
    return data_;
  }
  void materialize_dependents() {
    std::vector<std::weak_ptr<Storage>> dependents;
    {
      const std::lock_guard lock(mutex_);
      dependents.swap(dependents_);
      has_dependents_.store(false, std::memory_order_relaxed);
    }
    for (const auto& dependent : dependents)
      if (const auto storage = dependent.lock()) storage->data();
  }
  void drop_caches() {
    std::map<std::type_index, std::shared_ptr<void>> old;  // dies after the lock
    const std::lock_guard lock(mutex_);
    has_caches_.store(false, std::memory_order_relaxed);
    caches_.swap(old);
  }

  mutable std::atomic<void*> data_;
  std::size_t bytes_;
  Device device_;
  bool borrowed_ = false;
  std::function<void()> release_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<bool> lent_{false}, has_caches_{false}, has_dependents_{false};
  mutable std::mutex mutex_;
  std::map<std::type_index, std::shared_ptr<void>> caches_;
  mutable std::shared_ptr<const Lazy> lazy_;       // until the contents are in memory
  std::weak_ptr<const Lazy> recipe_;               // see recipe()
  mutable std::shared_ptr<Storage> materialized_;  // holds the memory of a storage that was lazy
  std::vector<std::weak_ptr<Storage>> dependents_;
};

}  // namespace karyon
