#include "memory.h"

#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>

namespace gpuemu {
namespace {

constexpr std::size_t arena_bytes = std::size_t{1} << 42;  // of addresses, not of memory
constexpr std::size_t page = 4096;

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

Cell* zeroed_cells(std::size_t count) {
  void* cells = std::calloc(count + 1, sizeof(Cell));
  if (cells == nullptr) throw std::bad_alloc();
  return static_cast<Cell*>(cells);
}

}  // namespace

Shadow::Shadow(std::size_t bytes) : bytes_(bytes), cells_(zeroed_cells((bytes >> 2) + 1)) {}

void Shadow::split(std::size_t offset, std::size_t bytes) {
  const int finer = std::countr_zero(offset | bytes);
  const std::size_t per_cell = std::size_t{1} << (shift_ - finer);
  Cell* cells = zeroed_cells((bytes_ >> finer) + per_cell);
  for (std::size_t i = 0; i <= bytes_ >> shift_; ++i)
    for (std::size_t j = 0; j < per_cell; ++j) cells[i * per_cell + j] = cells_.get()[i];
  cells_.reset(cells);
  shift_ = finer;
}

DeviceMemory::DeviceMemory() {
  void* arena = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw std::runtime_error("gpuemu: cannot reserve addresses for device memory");
  next_ = reinterpret_cast<std::uint64_t>(arena);
  end_ = next_ + arena_bytes;
  const char* mib = std::getenv("GPUEMU_MEMORY");
  limit_ = (mib != nullptr ? std::strtoull(mib, nullptr, 10) : 8192) << 20;
}

Allocation* DeviceMemory::allocate(std::size_t bytes) {
  const std::size_t reserved = round_up(bytes + page, page);  // at least a page lies between two allocations
  if (bytes > limit_ - used_ || next_ + reserved > end_) return nullptr;
  void* host = std::aligned_alloc(256, round_up(bytes + 256, 256));
  if (host == nullptr) return nullptr;
  std::memset(host, 0xff, bytes);
  Allocation& a = allocations_[next_];
  a.address = next_;
  a.bytes = bytes;
  a.host = static_cast<std::byte*>(host);
  a.shadow = std::make_unique<Shadow>(bytes);
  next_ += reserved;
  used_ += bytes;
  return &a;
}

Allocation* DeviceMemory::adopt(void* host, std::size_t bytes) {
  Allocation& a = allocations_[reinterpret_cast<std::uint64_t>(host)];
  a.address = reinterpret_cast<std::uint64_t>(host);
  a.bytes = bytes;
  a.host = static_cast<std::byte*>(host);
  a.freed = false;
  a.host_memory = true;
  a.shadow = nullptr;  // the host writes it unseen
  return &a;
}

void DeviceMemory::free(Allocation& a) {
  a.freed = true;
  a.shadow = nullptr;
  if (!a.host_memory) {
    used_ -= a.bytes;
    std::free(a.host);
  }
  a.host = nullptr;
}

Allocation* DeviceMemory::find(std::uint64_t address) {
  auto next = allocations_.upper_bound(address);
  return next == allocations_.begin() ? nullptr : &std::prev(next)->second;
}

DeviceMemory& device_memory() {
  static auto* memory = new DeviceMemory;
  return *memory;
}

}  // namespace gpuemu
