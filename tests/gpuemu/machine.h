#pragma once
#include <cstring>
#include <vector>

#include "counters.h"
#include "memory.h"
#include "program.h"
#include "report.h"

namespace gpuemu {

class Machine;

/// Lanes of a warp that are at the same instruction.
struct Fragment {
  enum class State : std::uint8_t { running, at_barrier, waiting };  // waiting: for other lanes of the warp
  std::uint32_t pc;
  Mask mask;
  State state = State::running;
};

/// Copies that cp.async began and that their threads have not waited for.
struct PendingCopy {
  Mask mask;
  int bytes;
  std::uint32_t group[lane_count];   // of each lane
  std::uint32_t shared[lane_count];  // where to
  std::array<std::byte, 16> data[lane_count];
  const Instruction* in;
};

/// 32 threads in lockstep. Registers lie lane by lane: 32 values side by side.
struct Warp {
  Machine* machine = nullptr;
  std::byte* registers = nullptr;
  Mask* predicates = nullptr;
  std::uint32_t id = 0;
  Mask live = 0;
  std::uint32_t syncs = 0;
  std::vector<Fragment> fragments;
  std::vector<std::byte> local;  // thread after thread
  std::vector<PendingCopy> copies;
  std::uint32_t committed[lane_count] = {};  // groups of cp.async

  template <class T>
  T* lanes(int reg) const {
    return reinterpret_cast<T*>(registers + reg);
  }

  template <class T>
  void store(int reg, const T (&values)[lane_count], Mask mask) const {
    T* to = lanes<T>(reg);
    if (mask == all_lanes) {
      std::memcpy(to, values, sizeof values);
    } else {
      for (int l = 0; l < lane_count; ++l) to[l] = (mask >> l & 1) != 0 ? values[l] : to[l];
    }
  }

  void store_predicate(int predicate, Mask values, Mask mask) const {
    if (predicate >= 0) predicates[predicate] = (predicates[predicate] & ~mask) | (values & mask);
  }

  std::uint32_t who(int lane) const { return who_is(id * lane_count + static_cast<unsigned>(lane), syncs); }
};

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

struct LaunchConfig {
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  std::vector<std::byte> parameters;
};

/// What an access does, for its checks.
enum class AccessKind : std::uint8_t { read, write, atomic };

/// Generic addresses of memory that is not global lie in these windows.
constexpr std::uint64_t shared_window = std::uint64_t{1} << 57, local_window = std::uint64_t{1} << 58,
                        param_window = std::uint64_t{1} << 59, window = std::uint64_t{1} << 32;

/// Runs kernels: block after block, the warps of a block in turn from barrier to barrier.
class Machine {
 public:
  /// Throws KernelFault; what is no fault is reported. `interval` is the operation's first.
  void launch(const Program& program, const LaunchConfig& config, Moment moment);

  /// Where each lane's access of `bytes` bytes lies on the host, checked in every way. Lanes that are not in
  /// `mask` get a place that may be read.
  void locate(Warp& warp, const Instruction& in, Mask mask, int bytes, AccessKind kind,
              std::byte* (&host)[lane_count]);
  /// The same for addresses that are known.
  void locate(Warp& warp, const Instruction& in, Space space, const std::uint64_t (&address)[lane_count],
              Mask mask, int bytes, AccessKind kind, std::byte* (&host)[lane_count], std::uint32_t flags = 0);
  void gather_addresses(const Warp& warp, const Instruction& in, std::uint64_t (&address)[lane_count]) const;

  /// "KERNEL at FILE:LINE `instruction`, block (0,0,0) thread (1,0,0)"
  std::string where(const Warp& warp, const Instruction& in, int lane) const;
  void report_at(const char* what, const Warp& warp, const Instruction& in, int lane) const;
  [[noreturn]] void fault(int error, const char* what, const Warp& warp, const Instruction& in,
                          int lane) const;

  const Program& program() const { return *program_; }
  const std::byte* parameters() const { return config_->parameters.data(); }
  std::byte* shared() { return shared_.data(); }
  Shadow& shared_shadow() { return *shared_shadow_; }
  Moment shared_moment() const;
  KernelCounters* counters() { return counters_; }
  /// The last launch's warp instructions.
  std::uint64_t executed() const { return executed_; }
  /// The first interval that nothing has used.
  Interval next_interval() const { return moment_.interval + 1; }

 private:
  const Program* program_ = nullptr;
  const LaunchConfig* config_ = nullptr;
  KernelCounters* counters_ = nullptr;
  Moment moment_;
  Dim3 block_index_;
  std::vector<Warp> warps_;
  std::vector<std::byte> registers_;
  std::vector<Mask> predicates_;
  std::vector<std::byte> shared_;
  std::unique_ptr<Shadow> shared_shadow_;
  std::vector<Allocation*> last_allocation_;  // by instruction
  std::uint64_t executed_ = 0;

  void prepare();
  void run_block();
  void start_block();
  template <bool Counting>
  void run_warp(Warp& warp);
  template <bool Counting>
  void run_fragment(Warp& warp, std::size_t which);
  static std::uint32_t meeting_point(const Warp& warp, std::size_t which);
  bool follow(Warp& warp, std::size_t which, const Instruction& in, Mask active);
  void follow_table(Warp& warp, std::size_t which, const Instruction& in, Mask active);
  std::size_t next_fragment(Warp& warp);
  bool may_synchronize(Warp& warp, const Instruction& in, Fragment& fragment, Mask mask);
  void end_of_barrier();
  void next_block_interval() { ++moment_.interval; }

  void locate_global(Warp& warp, const Instruction& in, const std::uint64_t (&address)[lane_count], Mask mask,
                     int bytes, AccessKind kind, std::byte* (&host)[lane_count]);
  void locate_shared(Warp& warp, const Instruction& in, const std::uint64_t (&address)[lane_count], Mask mask,
                     int bytes, AccessKind kind, std::byte* (&host)[lane_count], std::uint32_t flags);
  void report_conflict(Conflict conflict, bool shared, AccessKind kind, const Warp& warp,
                       const Instruction& in, int lane);
  Allocation& allocation_at(const Warp& warp, const Instruction& in, std::uint64_t address, int bytes,
                            AccessKind kind, int lane);
};

}  // namespace gpuemu
