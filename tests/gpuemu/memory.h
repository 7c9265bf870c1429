#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gpuemu {

/// A stretch of emulated time within which a block's threads are not ordered: it ends at each barrier of the
/// block, and each block and each operation of a stream begins a new one. Later ones have greater numbers; 0
/// is before all.
using Interval = std::uint32_t;

/// One access to a granule of memory: when, and by whom (see `who_is`).
struct Access {
  Interval interval = 0;
  std::uint32_t who = 0;
};

/// The thread within its block (10 bits), and how often its warp had synchronized (18 bits).
constexpr std::uint32_t who_is(std::uint32_t thread, std::uint32_t warp_syncs) {
  return thread | (warp_syncs & 0x3ffff) << 10;
}
constexpr std::uint32_t thread_bits = 0x3ff, warp_bits = 0x3e0, sync_bits = 0x0ffffc00;
// Flags of a write.
constexpr std::uint32_t atomic_flag = 1u << 28, pending_flag = 1u << 29;
// Flags of a read: others of the same interval (lanes of the warp, other warps) or of other blocks read as
// well.
constexpr std::uint32_t lanes_read = 1u << 28, warps_read = 1u << 29, blocks_read = 1u << 30;

/// The last write of a granule of memory, and its reads since.
struct Cell {
  Access write, read;
};

/// Cells of an area of memory, one per 4 bytes, or finer once something finer than that was accessed.
class Shadow {
 public:
  explicit Shadow(std::size_t bytes);

  std::size_t bytes() const { return bytes_; }
  int shift() const { return shift_; }
  Cell& cell(std::size_t granule) { return cells_.get()[granule]; }
  /// Makes the granules small enough for an access of `bytes` at `offset`.
  void refine(std::size_t offset, std::size_t bytes) {
    if (((offset | bytes) & ((std::size_t{1} << shift_) - 1)) != 0) split(offset, bytes);
  }

 private:
  struct Free {
    void operator()(Cell* cells) const { std::free(cells); }
  };
  std::size_t bytes_;
  int shift_ = 2;  // log2 of the granule
  std::unique_ptr<Cell, Free> cells_;

  void split(std::size_t offset, std::size_t bytes);
};

struct Allocation {
  std::uint64_t address = 0;
  std::size_t bytes = 0;
  std::byte* host = nullptr;
  bool freed = false;
  bool host_memory = false;  // pinned: the device address is the host's
  std::unique_ptr<Shadow> shadow;
};

/// Device memory. Its addresses are not the host's, so that the host cannot read or write it by mistake, and
/// no address is given twice, so that a use after free is seen. New memory is filled with 0xff bytes, which
/// are NaNs.
class DeviceMemory {
 public:
  DeviceMemory();

  /// nullptr if more than `limit` bytes would be in use.
  Allocation* allocate(std::size_t bytes);
  /// Memory of the host that the device reaches by the same address.
  Allocation* adopt(void* host, std::size_t bytes);
  void free(Allocation& allocation);

  /// The allocation with the greatest address that is not above `address`, freed or not; nullptr if there is
  /// none.
  Allocation* find(std::uint64_t address);
  std::size_t used() const { return used_; }
  std::size_t limit() const { return limit_; }

 private:
  std::uint64_t next_ = 0, end_ = 0;
  std::size_t used_ = 0, limit_ = 0;
  std::map<std::uint64_t, Allocation> allocations_;
};

DeviceMemory& device_memory();

enum class Conflict : std::uint8_t { none, unwritten, pending, lanes, threads, blocks, operations };

/// Where in time an access happens: the first intervals of its block and of its operation, and the last
/// interval that is known to be over before the operation begins.
struct Moment {
  Interval interval = 1, block = 1, operation = 1, ordered = 0;
};

/// Whether the operation of `interval`, an earlier one than that which runs, is ordered before it by streams,
/// events or synchronizations.
bool operation_ordered(Interval interval);

namespace race {

inline Conflict against_write(const Access& write, const Moment& now, std::uint32_t who, bool both_atomic) {
  if (write.interval == now.interval) {
    if ((write.who & pending_flag) != 0) return Conflict::pending;
    if (((write.who ^ who) & thread_bits) == 0 || both_atomic) return Conflict::none;
    if (((write.who ^ who) & warp_bits) != 0) return Conflict::threads;
    return ((write.who ^ who) & sync_bits) == 0 ? Conflict::lanes : Conflict::none;
  }
  if (write.interval >= now.operation) {
    if ((write.who & pending_flag) != 0) return Conflict::pending;
    return write.interval >= now.block || both_atomic ? Conflict::none : Conflict::blocks;
  }
  return operation_ordered(write.interval) ? Conflict::none : Conflict::operations;
}

inline Conflict against_reads(const Access& read, const Moment& now, std::uint32_t who) {
  if (read.interval == now.interval) {
    if ((read.who & blocks_read) != 0) return Conflict::blocks;
    if ((read.who & warps_read) != 0 || ((read.who ^ who) & warp_bits) != 0) return Conflict::threads;
    const bool others = (read.who & lanes_read) != 0 || ((read.who ^ who) & thread_bits) != 0;
    return others && ((read.who ^ who) & sync_bits) == 0 ? Conflict::lanes : Conflict::none;
  }
  if (read.interval >= now.operation)
    return (read.who & blocks_read) != 0 || read.interval < now.block ? Conflict::blocks : Conflict::none;
  return operation_ordered(read.interval) ? Conflict::none : Conflict::operations;
}

inline void add_reader(Access& read, const Moment& now, std::uint32_t who) {
  std::uint32_t flags = 0;
  if (read.interval == now.interval) {
    flags = read.who & (lanes_read | warps_read | blocks_read);
    if (((read.who ^ who) & warp_bits) != 0)
      flags |= warps_read;
    else if (((read.who ^ who) & thread_bits) != 0)
      flags |= lanes_read;
  } else if (read.interval >= now.operation) {
    flags = read.who & blocks_read;
    if (read.interval < now.block) flags |= blocks_read;
  }
  read = {now.interval, who | flags};
}

}  // namespace race

/// Records a read and says what it conflicts with. Memory of a block (shared) is unwritten when its last
/// write came before the block; then now.operation == now.block.
inline Conflict note_read(Cell& cell, const Moment& now, std::uint32_t who) {
  const Access write = cell.write;
  Conflict conflict = Conflict::none;
  if (write.interval > now.ordered)
    conflict = race::against_write(write, now, who, false);
  else if (write.interval == 0)
    conflict = Conflict::unwritten;
  race::add_reader(cell.read, now, who);
  return conflict;
}

/// Records a write; `flags` are atomic_flag or pending_flag.
inline Conflict note_write(Cell& cell, const Moment& now, std::uint32_t who, std::uint32_t flags) {
  Conflict conflict = Conflict::none;
  if (cell.write.interval > now.ordered)
    conflict = race::against_write(cell.write, now, who, (cell.write.who & flags & atomic_flag) != 0);
  if (conflict == Conflict::none && cell.read.interval > now.ordered)
    conflict = race::against_reads(cell.read, now, who);
  cell.write = {now.interval, who | flags};
  return conflict;
}

}  // namespace gpuemu
