#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "program.h"

namespace gpuemu {

/// What one instruction of a kernel did in all its launches.
struct InstructionCounters {
  std::uint64_t executed = 0, lanes = 0;                    // warp instructions, and their active lanes
  std::uint64_t divergent = 0;                              // branches that split a fragment
  std::uint64_t bytes = 0, sectors = 0, ideal_sectors = 0;  // of global memory
  std::uint64_t shared_requests = 0, shared_conflicts = 0;  // passes beyond those that the width needs
};

struct KernelCounters {
  std::uint64_t launches = 0;
  std::vector<InstructionCounters> instructions;
};

/// The counters of a kernel, or nullptr where nobody asked for them (GPUEMU_COUNTERS). They are written when
/// the process ends, appended to what other processes wrote.
KernelCounters* counters_of(const Program& program);

void count_global(InstructionCounters& counters, const std::uint64_t (&address)[lane_count], Mask mask,
                  int bytes);
void count_shared(InstructionCounters& counters, const std::uint64_t (&address)[lane_count], Mask mask,
                  int bytes);

}  // namespace gpuemu
