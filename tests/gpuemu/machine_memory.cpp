// Where the accesses of a warp lie, and their checks: bounds, alignment, races and memory that nothing has
// written.
#include <driver_types.h>

#include <bit>
#include <cstdint>

#include "machine.h"

namespace gpuemu {

void Machine::gather_addresses(const Warp& w, const Instruction& in,
                               std::uint64_t (&address)[lane_count]) const {
  const auto offset = static_cast<std::uint64_t>(in.offset);
  if (in.wide_address) {
    const auto* base = w.lanes<std::uint64_t>(in.address);
    for (int l = 0; l < lane_count; ++l) address[l] = base[l] + offset;
  } else {
    const auto* base = w.lanes<std::uint32_t>(in.address);
    for (int l = 0; l < lane_count; ++l) address[l] = static_cast<std::uint32_t>(base[l] + offset);
  }
}

void Machine::locate(Warp& w, const Instruction& in, Mask mask, int bytes, AccessKind kind,
                     std::byte* (&host)[lane_count]) {
  std::uint64_t address[lane_count];
  gather_addresses(w, in, address);
  locate(w, in, in.space, address, mask, bytes, kind, host);
}

void Machine::locate(Warp& w, const Instruction& in, Space space, const std::uint64_t (&address)[lane_count],
                     Mask mask, int bytes, AccessKind kind, std::byte* (&host)[lane_count],
                     std::uint32_t flags) {
  alignas(16) static std::byte nowhere[64];
  for (int l = 0; l < lane_count; ++l) host[l] = nowhere;
  std::uint64_t low_bits = 0;
  for (int l = 0; l < lane_count; ++l) low_bits |= (mask >> l & 1) != 0 ? address[l] : 0;
  if ((low_bits & static_cast<unsigned>(bytes - 1)) != 0)
    for (int l = 0; l < lane_count; ++l)
      if ((mask >> l & 1) != 0 && (address[l] & static_cast<unsigned>(bytes - 1)) != 0)
        fault(cudaErrorMisalignedAddress, "misaligned access", w, in, l);

  switch (space) {
    case Space::global: return locate_global(w, in, address, mask, bytes, kind, host);
    case Space::shared: return locate_shared(w, in, address, mask, bytes, kind, host, flags);
    case Space::local:
      for (int l = 0; l < lane_count; ++l)
        if ((mask >> l & 1) != 0) {
          if (address[l] + static_cast<unsigned>(bytes) > program_->local_bytes)
            fault(cudaErrorIllegalAddress, "local memory out of bounds", w, in, l);
          host[l] = w.local.data() + static_cast<std::size_t>(l) * program_->local_bytes + address[l];
        }
      return;
    case Space::param:
      for (int l = 0; l < lane_count; ++l)
        if ((mask >> l & 1) != 0) {
          if (kind != AccessKind::read ||
              address[l] + static_cast<unsigned>(bytes) > config_->parameters.size())
            fault(cudaErrorIllegalAddress, "parameters out of bounds", w, in, l);
          host[l] = const_cast<std::byte*>(parameters()) + address[l];
        }
      return;
    case Space::generic: break;
  }
  // Generic addresses: lanes by window.
  const std::pair<std::uint64_t, Space> windows[] = {{shared_window, Space::shared},
                                                     {local_window, Space::local},
                                                     {param_window, Space::param},
                                                     {0, Space::global}};
  for (const auto& [base, kind_of_space] : windows) {
    Mask here = 0;
    std::uint64_t inside[lane_count];
    for (int l = 0; l < lane_count; ++l) {
      inside[l] = address[l] - base;
      if ((mask >> l & 1) != 0 && (base == 0 || inside[l] < window)) here |= Mask{1} << l;
    }
    if (here == 0) continue;
    std::byte* found[lane_count];
    locate(w, in, kind_of_space, inside, here, bytes, kind, found, flags);
    for (int l = 0; l < lane_count; ++l)
      if ((here >> l & 1) != 0) host[l] = found[l];
    mask &= ~here;
  }
}

Allocation& Machine::allocation_at(const Warp& w, const Instruction& in, std::uint64_t address, int bytes,
                                   AccessKind kind, int lane) {
  Allocation* a = device_memory().find(address);
  const char* fault_text = nullptr;
  if (a == nullptr || address - a->address >= a->bytes + (a->host_memory ? 0 : 4096))
    fault_text = "wild address";
  else if (a->freed)
    fault_text = "use of freed device memory";
  else if (address - a->address + static_cast<unsigned>(bytes) > a->bytes)
    fault_text = kind == AccessKind::read ? "load out of bounds" : "store out of bounds";
  if (fault_text != nullptr) fault(cudaErrorIllegalAddress, fault_text, w, in, lane);
  return *a;
}

void Machine::locate_global(Warp& w, const Instruction& in, const std::uint64_t (&address)[lane_count],
                            Mask mask, int bytes, AccessKind kind, std::byte* (&host)[lane_count]) {
  if (counters_ != nullptr) count_global(counters_->instructions[in.index], address, mask, bytes);
  const auto size = static_cast<std::size_t>(bytes);
  Allocation* a = last_allocation_[in.index];
  for (int l = 0; l < lane_count; ++l) {
    if ((mask >> l & 1) == 0) continue;
    std::size_t offset = a != nullptr ? address[l] - a->address : 0;
    if (a == nullptr || a->freed || offset + size > a->bytes || offset > a->bytes) {
      a = last_allocation_[in.index] = &allocation_at(w, in, address[l], bytes, kind, l);
      offset = address[l] - a->address;
    }
    host[l] = a->host + offset;
    if (a->shadow == nullptr) continue;
    Shadow& shadow = *a->shadow;
    shadow.refine(offset, size);
    const std::size_t begin = offset >> shadow.shift(), end = (offset + size) >> shadow.shift();
    const std::uint32_t who = w.who(l);
    if (in.constant_data)
      for (std::size_t g = begin; g < end; ++g)
        if (shadow.cell(g).write.interval >= moment_.operation)
          report_at(
              "read by ld.global.nc (__ldg, or const __restrict__) of what the kernel itself has written", w,
              in, l);
    for (std::size_t g = begin; g < end; ++g) {
      const Conflict conflict =
          kind == AccessKind::read
              ? note_read(shadow.cell(g), moment_, who)
              : note_write(shadow.cell(g), moment_, who, kind == AccessKind::atomic ? atomic_flag : 0);
      if (conflict != Conflict::none) [[unlikely]]
        report_conflict(conflict, false, kind, w, in, l);
    }
  }
}

void Machine::locate_shared(Warp& w, const Instruction& in, const std::uint64_t (&address)[lane_count],
                            Mask mask, int bytes, AccessKind kind, std::byte* (&host)[lane_count],
                            std::uint32_t flags) {
  if (counters_ != nullptr) count_shared(counters_->instructions[in.index], address, mask, bytes);
  const auto size = static_cast<std::size_t>(bytes);
  const std::size_t limit = program_->shared_bytes + config_->dynamic_shared;
  const Moment now = shared_moment();
  Shadow& shadow = *shared_shadow_;
  if (kind == AccessKind::atomic) flags |= atomic_flag;
  for (int l = 0; l < lane_count; ++l) {
    if ((mask >> l & 1) == 0) continue;
    const std::size_t offset = address[l];
    if (offset + size > limit || offset > limit)
      fault(cudaErrorIllegalAddress, "shared memory out of bounds", w, in, l);
    host[l] = shared_.data() + offset;
    shadow.refine(offset, size);
    const std::size_t begin = offset >> shadow.shift(), end = (offset + size) >> shadow.shift();
    const std::uint32_t who = w.who(l);
    for (std::size_t g = begin; g < end; ++g) {
      Cell& cell = shadow.cell(g);
      Conflict conflict = Conflict::none;
      if (kind != AccessKind::write && cell.write.interval < now.block) conflict = Conflict::unwritten;
      const Conflict race =
          kind == AccessKind::read ? note_read(cell, now, who) : note_write(cell, now, who, flags);
      if (conflict == Conflict::none) conflict = race;
      if (conflict != Conflict::none) [[unlikely]]
        report_conflict(conflict, true, kind, w, in, l);
    }
  }
}

void Machine::report_conflict(Conflict conflict, bool shared, AccessKind kind, const Warp& w,
                              const Instruction& in, int lane) {
  const std::string memory = shared ? "shared memory" : "global memory";
  const std::string access = kind == AccessKind::read    ? "read"
                             : kind == AccessKind::write ? "written"
                                                         : "updated";
  std::string what;
  switch (conflict) {
    case Conflict::none: return;
    case Conflict::unwritten: what = "read of " + memory + " that nothing has written"; break;
    case Conflict::pending:
      what = memory + " " + access + " while a cp.async into it has not been waited for";
      break;
    case Conflict::lanes:
      what = "race in " + memory + ": " + access +
             " while another lane of the warp uses it, no __syncwarp between";
      break;
    case Conflict::threads:
      what = "race in " + memory + ": " + access + " while another thread uses it, no barrier between";
      break;
    case Conflict::blocks: what = "race in " + memory + ": " + access + " while another block uses it"; break;
    case Conflict::operations:
      what = "race in " + memory + ": " + access +
             " while work of another stream uses it, no synchronization between";
      break;
  }
  report_at(what.c_str(), w, in, lane);
}

}  // namespace gpuemu
