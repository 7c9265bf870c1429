#include <karyon/cuda/allocator.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>

namespace karyon::cuda {
namespace {

// Sizes are rounded to an eighth of their power of two: at most 12.5 % is lost. Blocks of nearly equal sizes
// can replace each other.
std::size_t rounded(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(512, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
  return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

}  // namespace

Allocator::Allocator() {
  const char* cache = std::getenv("KARYON_CUDA_CACHE");
  cached_ = cache == nullptr || std::string_view(cache) != "off";
}

void* Allocator::allocate(std::size_t bytes) {
  check(bytes <= (std::size_t{1} << 46), "allocate: ", bytes, " bytes is more than any device has");
  const std::size_t size = cached_ ? rounded(bytes) : std::max<std::size_t>(bytes, 1);
  std::lock_guard lock(mutex_);
  void* data = cached_ ? take_cached(size) : nullptr;
  if (!data) data = take_new(size);
  if (!data) {
    release_cached();
    data = take_new(size);
  }
  check(data != nullptr, "allocate: no memory left on the device for ", bytes, " bytes (", stats_.current,
        " in use)");
  stats_.current += blocks_.at(data);
  stats_.peak = std::max(stats_.peak, stats_.current);
  return data;
}

void Allocator::deallocate(void* data) noexcept {
  std::lock_guard lock(mutex_);
  const auto block = blocks_.find(data);
  const std::size_t size = block->second;
  blocks_.erase(block);
  stats_.current -= size;
  if (!cached_) {
    (void)cudaFreeAsync(data, context().stream);
    stats_.reserved -= size;
    return;
  }
  try {
    cache_.emplace(size, data);
  } catch (...) {  // no memory for the list of free blocks
    (void)cudaFree(data);
    stats_.reserved -= size;
  }
}

// The smallest block that is large enough, if it is at most half as large again.
void* Allocator::take_cached(std::size_t size) {
  const auto it = cache_.lower_bound(size);
  if (it == cache_.end() || it->first > size + size / 2) return nullptr;
  void* const data = it->second;
  blocks_.emplace(data, it->first);
  cache_.erase(it);
  return data;
}

void* Allocator::take_new(std::size_t size) {
  void* data = nullptr;
  const cudaError_t status =
      cached_ ? cudaMalloc(&data, size) : cudaMallocAsync(&data, size, context().stream);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  KARYON_CUDA_CHECK(status);
  blocks_.emplace(data, size);
  stats_.reserved += size;
  return data;
}

void Allocator::release_cached() {
  KARYON_CUDA_CHECK(cudaDeviceSynchronize());
  for (const auto& [size, data] : cache_) {
    KARYON_CUDA_CHECK(cudaFree(data));
    stats_.reserved -= size;
  }
  cache_.clear();
}

MemoryStats Allocator::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}
void Allocator::reset_peak() {
  std::lock_guard lock(mutex_);
  stats_.peak = stats_.current;
}
void Allocator::empty_cache() {
  std::lock_guard lock(mutex_);
  release_cached();
}

Allocator& allocator() {
  static Allocator* instance = new Allocator;  // outlives every tensor
  return *instance;
}

}  // namespace karyon::cuda
