#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

#include <karyon/core/backend.h>

namespace karyon::cuda {

/// Device memory, kept for reuse after it is freed: asking the driver would stop the device each time. The one
/// stream of all work orders it, so a block may be handed out again at once, before its last use has ended.
///
/// With KARYON_CUDA_CACHE=off in the environment nothing is kept or rounded: each block comes from the
/// driver. Memory checkers then see accesses out of bounds, after the free, or to memory that was never
/// written.
class Allocator {
 public:
  Allocator();

  /// At least `bytes` bytes, aligned to 256. Throws Error if the device has no more.
  void* allocate(std::size_t bytes);
  void deallocate(void* data) noexcept;
  MemoryStats stats() const;
  void reset_peak();
  /// Gives all unused blocks back to the driver, once the device is done with them.
  void empty_cache();

 private:
  void* take_cached(std::size_t size);
  void* take_new(std::size_t size);
  void release_cached();

  bool cached_;
  mutable std::mutex mutex_;
  std::multimap<std::size_t, void*> cache_;        // free blocks by size
  std::unordered_map<void*, std::size_t> blocks_;  // the sizes of those in use
  MemoryStats stats_;
};

/// The device's allocator.
Allocator& allocator();

}  // namespace karyon::cuda
