// The CPU's memory: 64-byte aligned blocks, kept for reuse after they are freed. A training loop thus asks
// the system for memory, and pays page faults, in its first step only. With KARYON_CPU_CACHE=off in the
// environment each block is one of the system's, as large as it was asked for: memory checkers see each
// misuse.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>

#include <karyon/core/backend.h>
#include <karyon/core/check.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/lazy.h>

namespace karyon {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

// Sizes are rounded to an eighth of their power of two: at most 12.5 % is lost. Blocks of nearly equal sizes
// can replace each other.
std::size_t rounded(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(64, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
  return cpu::round_up(std::max<std::size_t>(bytes, 1), step);
}

class CpuBackend : public Backend {
 public:
  CpuBackend() {
    const char* text = std::getenv("KARYON_CPU_CACHE");
    const std::string_view cache = text ? text : "";
    check(cache.empty() || cache == "off", "KARYON_CPU_CACHE: expects off, got '", cache, "'");
    cached_ = cache.empty();
  }

  void* allocate(std::size_t bytes, int index) override {
    check(index == 0, "device cpu: there is only index 0, got ", index);
    check(bytes <= (std::size_t{1} << 46), "allocate: ", bytes, " bytes is more than any machine has");
    const std::size_t size = block_size(bytes);
    std::lock_guard lock(mutex_);
    void* data = take_cached(size);
    if (!data) {
      // Blocks of sizes that are no longer asked for must not pile up. Images of many sizes would do that.
      while (stats_.reserved + size > most_ + most_ && release_one()) {
      }
      data = take_new(size);
    }
    while (!data && release_one()) data = take_new(size);
    check(data != nullptr, "allocate: no memory left for ", bytes, " bytes (", stats_.current, " in use)");
    stats_.current += size;
    stats_.peak = std::max(stats_.peak, stats_.current);
    most_ = std::max(most_, stats_.current);
    return data;
  }

  void deallocate(void* data, std::size_t bytes, int) noexcept override {
    std::size_t size = block_size(bytes);
    std::lock_guard lock(mutex_);
    stats_.current -= size;
    if (!cached_) return give_back(data, size);
    if (const auto larger = larger_.find(data); larger != larger_.end()) {
      size = larger->second;
      larger_.erase(larger);
    }
    try {
      cache_.emplace(size, Cached{data, ++clock_});
    } catch (...) {  // no memory for the list of free blocks
      give_back(data, size);
    }
  }

  void copy(void* dst, const void* src, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(dst, src, bytes);
  }
  void synchronize(int) override {}

  MemoryStats memory_stats(int) const override {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak_memory_stats(int) override {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.current;
  }
  void empty_cache() override {
    std::lock_guard lock(mutex_);
    while (release_one()) {
    }
  }
  std::vector<DeviceInfo> devices() const override {
    const auto pages = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES));
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return {{.device = Device::cpu(),
             .name = std::to_string(std::thread::hardware_concurrency()) + " threads",
             .memory = pages * page}};
  }
  // Convolutions and max pools read whole vectors of channels.
  bool reads_lazily(LazyKind kind, DType dtype, std::int64_t channels) const override {
    if (kind == LazyKind::max_pool_gradient) return true;
    return (dtype == f32 && channels % 16 == 0) || (dtype == bf16 && channels % 32 == 0);
  }

 private:
  struct Cached {
    void* data;
    std::uint64_t since;
  };

  std::size_t block_size(std::size_t bytes) const {
    return cached_ ? rounded(bytes) : std::max<std::size_t>(bytes, 1);
  }

  // The smallest block that is large enough, if it is at most half as large again.
  void* take_cached(std::size_t size) {
    const auto it = cache_.lower_bound(size);
    if (it == cache_.end() || it->first > size + size / 2) return nullptr;
    void* data = it->second.data;
    if (it->first != size) larger_.emplace(data, it->first);
    cache_.erase(it);
    return data;
  }

  // Returns the block that was unused for the longest time to the system.
  bool release_one() {
    const auto oldest = std::min_element(cache_.begin(), cache_.end(), [](const auto& a, const auto& b) {
      return a.second.since < b.second.since;
    });
    if (oldest == cache_.end()) return false;
    give_back(oldest->second.data, oldest->first);
    cache_.erase(oldest);
    return true;
  }

  void* take_new(std::size_t size) {
    const std::size_t alignment = size >= 2 * huge_page ? huge_page : 64;
    const std::size_t padded = cached_ ? cpu::round_up(size, alignment) : size;
    void* data = nullptr;
    if (posix_memalign(&data, alignment, padded) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
    if (alignment == huge_page) madvise(data, padded, MADV_HUGEPAGE);
#endif
    stats_.reserved += size;
    return data;
  }

  void give_back(void* data, std::size_t size) noexcept {
    std::free(data);
    stats_.reserved -= size;
  }

  bool cached_ = true;
  mutable std::mutex mutex_;
  std::multimap<std::size_t, Cached> cache_;       // free blocks by size
  std::unordered_map<void*, std::size_t> larger_;  // blocks in use that are larger than asked for
  std::uint64_t clock_ = 0;
  MemoryStats stats_;
  std::size_t most_ = 0;  // ever in use; the peak can be reset
};

}  // namespace

Backend& cpu_backend() {
  // Never destroyed: tensors with static storage duration may outlive any order of destruction.
  static CpuBackend* instance = new CpuBackend;
  return *instance;
}

}  // namespace karyon
