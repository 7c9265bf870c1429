#include "machine.h"

#include <driver_types.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cstdint>

namespace gpuemu {
namespace {

constexpr std::size_t no_index = ~std::size_t{0};
constexpr std::size_t line = 64;

std::uint32_t special_value(Special which, const LaunchConfig& c, const Dim3& block_index,
                            std::uint32_t thread) {
  const std::uint32_t lane = thread % lane_count;
  switch (which) {
    case Special::tid_x: return thread % c.block.x;
    case Special::tid_y: return thread / c.block.x % c.block.y;
    case Special::tid_z: return thread / (c.block.x * c.block.y);
    case Special::ntid_x: return c.block.x;
    case Special::ntid_y: return c.block.y;
    case Special::ntid_z: return c.block.z;
    case Special::ctaid_x: return block_index.x;
    case Special::ctaid_y: return block_index.y;
    case Special::ctaid_z: return block_index.z;
    case Special::nctaid_x: return c.grid.x;
    case Special::nctaid_y: return c.grid.y;
    case Special::nctaid_z: return c.grid.z;
    case Special::laneid: return lane;
    case Special::warpid: return thread / lane_count;
    case Special::nwarpid: return static_cast<std::uint32_t>((c.block.count() + lane_count - 1) / lane_count);
    case Special::lanemask_eq: return 1u << lane;
    case Special::lanemask_lt: return (1u << lane) - 1;
    case Special::lanemask_le: return (2u << lane) - 1;
    case Special::lanemask_gt: return ~((2u << lane) - 1);
    case Special::lanemask_ge: return ~((1u << lane) - 1);
    case Special::dynamic_smem_size: return static_cast<std::uint32_t>(c.dynamic_shared);
  }
  return 0;
}

Mask lanes_of(std::uint64_t threads, std::uint32_t warp) {
  const std::uint64_t rest = threads - std::uint64_t{warp} * lane_count;
  return rest >= lane_count ? all_lanes : (Mask{1} << rest) - 1;
}

/// Warps in turn, or the last one first: GPUEMU_WARP_ORDER=reverse.
bool reversed_warps() {
  static const bool reversed = [] {
    const char* order = std::getenv("GPUEMU_WARP_ORDER");
    return order != nullptr && std::strcmp(order, "reverse") == 0;
  }();
  return reversed;
}

}  // namespace

void Machine::launch(const Program& program, const LaunchConfig& config, Moment moment) {
  program_ = &program;
  config_ = &config;
  counters_ = counters_of(program);
  moment_ = moment;
  executed_ = 0;
  if (counters_ != nullptr) ++counters_->launches;
  // The program may have changed how its thread computes (no subnormal numbers, another rounding).
  std::fenv_t host;
  std::feholdexcept(&host);
  std::fesetenv(FE_DFL_ENV);
  struct Restore {
    std::fenv_t& environment;
    ~Restore() { std::fesetenv(&environment); }
  } restore{host};
  prepare();
  for (block_index_.z = 0; block_index_.z < config.grid.z; ++block_index_.z)
    for (block_index_.y = 0; block_index_.y < config.grid.y; ++block_index_.y)
      for (block_index_.x = 0; block_index_.x < config.grid.x; ++block_index_.x) run_block();
}

void Machine::prepare() {
  const Program& p = *program_;
  const auto threads = config_->block.count();
  const auto count = static_cast<std::uint32_t>((threads + lane_count - 1) / lane_count);
  registers_.assign(count * p.register_bytes + line, std::byte{0xd5});
  predicates_.assign(count * p.predicates, 0);
  auto* base = registers_.data() + (line - reinterpret_cast<std::uintptr_t>(registers_.data()) % line);
  warps_.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Warp& w = warps_[i];
    w.machine = this;
    w.id = i;
    w.registers = base + i * p.register_bytes;
    w.predicates = predicates_.data() + i * p.predicates;
    for (const auto& c : p.constants)
      for (int l = 0; l < lane_count; ++l)
        std::memcpy(w.registers + c.reg + l * c.bytes, &c.value, static_cast<std::size_t>(c.bytes));
    for (const auto& s : p.specials)
      for (std::uint32_t l = 0; l < lane_count; ++l)
        w.lanes<std::uint32_t>(s.reg)[l] = special_value(s.which, *config_, block_index_, i * lane_count + l);
  }
  const std::size_t bytes = p.shared_bytes + config_->dynamic_shared;
  shared_.resize(bytes);
  // Intervals only grow, so what earlier kernels left in the cells is past.
  if (shared_shadow_ == nullptr || shared_shadow_->bytes() < bytes || shared_shadow_->shift() < 2)
    shared_shadow_ = std::make_unique<Shadow>(bytes);
  last_allocation_.assign(p.code.size(), nullptr);
}

void Machine::start_block() {
  next_block_interval();
  moment_.block = moment_.interval;
  const Program& p = *program_;
  std::memset(shared_.data(), 0xff, shared_.size());
  for (Warp& w : warps_) {
    w.live = lanes_of(config_->block.count(), w.id);
    w.fragments.assign(1, {0, w.live});
    w.copies.clear();
    std::fill_n(w.committed, lane_count, 0u);
    if (p.local_bytes != 0) w.local.assign(p.local_bytes * lane_count, std::byte{0xff});
    for (const auto& s : p.specials)
      if (s.which >= Special::ctaid_x && s.which <= Special::ctaid_z)
        std::fill_n(w.lanes<std::uint32_t>(s.reg), lane_count,
                    special_value(s.which, *config_, block_index_, 0));
  }
}

void Machine::run_block() {
  start_block();
  for (;;) {
    bool all_done = true;
    for (std::size_t i = 0; i < warps_.size(); ++i) {
      Warp& w = warps_[reversed_warps() ? warps_.size() - 1 - i : i];
      if (counters_ != nullptr)
        run_warp<true>(w);
      else
        run_warp<false>(w);
      all_done &= w.live == 0;
    }
    if (all_done) break;
    end_of_barrier();
  }
  for (const Warp& w : warps_)
    for (const PendingCopy& copy : w.copies)
      report_at("cp.async that no thread waited for", w, *copy.in, std::countr_zero(copy.mask));
}

template <bool Counting>
void Machine::run_warp(Warp& w) {
  for (std::size_t f; (f = next_fragment(w)) != no_index;) run_fragment<Counting>(w, f);
  for (const Fragment& f : w.fragments)
    if (f.state == Fragment::State::waiting)
      fault(cudaErrorLaunchFailure, "warp operation that not every lane of its mask reaches", w,
            program_->code[f.pc], std::countr_zero(f.mask));
}

/// Joins fragments that are at the same instruction and gives the one furthest behind; no_index if none can
/// run.
std::size_t Machine::next_fragment(Warp& w) {
  auto& all = w.fragments;
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = all.size() - 1; j > i; --j)
      if (all[i].pc == all[j].pc &&
          (all[i].state == Fragment::State::at_barrier) == (all[j].state == Fragment::State::at_barrier)) {
        if (all[i].state == Fragment::State::waiting) all[i].state = Fragment::State::running;
        all[i].mask |= all[j].mask;
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(j));
      }
  std::size_t best = no_index;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].state == Fragment::State::running && (best == no_index || all[i].pc < all[best].pc)) best = i;
  return best;
}

template <bool Counting>
void Machine::run_fragment(Warp& w, std::size_t which) {
  const Instruction* const code = program_->code.data();
  const std::uint32_t limit = meeting_point(w, which);
  std::uint32_t pc = w.fragments[which].pc;
  Mask mask = w.fragments[which].mask;
  std::uint64_t executed = 0;
  bool runs = true;
  while (runs && pc < limit) {
    const Instruction& in = code[pc];
    Mask active = mask;
    if (in.predicate >= 0) {
      const Mask p = w.predicates[in.predicate];
      active &= in.negated ? ~p : p;
    }
    ++executed;
    if constexpr (Counting) {
      InstructionCounters& c = counters_->instructions[pc];
      ++c.executed;
      c.lanes += static_cast<unsigned>(std::popcount(active));
      if (in.control == Control::branch && active != 0 && active != mask) ++c.divergent;
    }
    if (in.control == Control::none) {
      if (active != 0) in.execute(w, in, active);
      ++pc;
      continue;
    }
    w.fragments[which].pc = pc;
    runs = follow(w, which, in, active);
    if (runs) {
      pc = w.fragments[which].pc;
      mask = w.fragments[which].mask;
    }
  }
  if (runs) w.fragments[which].pc = pc;
  executed_ += executed;
}

/// The instruction where a fragment meets the next other one.
std::uint32_t Machine::meeting_point(const Warp& w, std::size_t which) {
  std::uint32_t limit = ~0u;
  for (std::size_t i = 0; i < w.fragments.size(); ++i)
    if (i != which && w.fragments[i].state != Fragment::State::at_barrier &&
        w.fragments[i].pc > w.fragments[which].pc)
      limit = std::min(limit, w.fragments[i].pc);
  return limit;
}

/// Executes an instruction that changes which lanes run, or that waits for others. False where the fragment
/// has ended, waits, or must let others run first.
bool Machine::follow(Warp& w, std::size_t which, const Instruction& in, Mask active) {
  auto& all = w.fragments;
  Fragment& here = all[which];
  switch (in.control) {
    case Control::branch: {
      if (active == here.mask) {
        const bool back = in.target <= here.pc;
        here.pc = in.target;
        return !back || all.size() == 1;
      }
      ++here.pc;
      if (active == 0) return true;
      here.mask &= ~active;
      all.push_back({in.target, active});
      return false;
    }
    case Control::branch_table: follow_table(w, which, in, active); return false;
    case Control::exit:
      here.mask &= ~active;
      w.live &= ~active;
      ++here.pc;
      if (here.mask != 0) return true;
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(which));
      return false;
    case Control::barrier: {
      if (active == 0) {
        ++here.pc;
        return true;
      }
      const Fragment others{here.pc + 1, here.mask & ~active};
      here.mask = active;
      here.state = Fragment::State::at_barrier;
      if (others.mask != 0) all.push_back(others);
      return false;
    }
    default:  // synchronizing
      if (active != 0 && !may_synchronize(w, in, here, active)) {
        here.state = Fragment::State::waiting;
        return false;
      }
      ++w.syncs;
      if (active != 0 && in.execute != nullptr) in.execute(w, in, active);
      ++here.pc;
      return true;
  }
}

/// Each active lane branches to a target of its own.
void Machine::follow_table(Warp& w, std::size_t which, const Instruction& in, Mask active) {
  auto& all = w.fragments;
  all[which].mask &= ~active;
  ++all[which].pc;
  const auto* index = w.lanes<std::uint32_t>(in.reg[0]);
  for (int l = 0; l < lane_count; ++l)
    if ((active >> l & 1) != 0) {
      if (index[l] >= in.targets.size()) fault(cudaErrorLaunchFailure, "branch outside its table", w, in, l);
      all.push_back({in.targets[index[l]], Mask{1} << l});
    }
  if (all[which].mask == 0) all.erase(all.begin() + static_cast<std::ptrdiff_t>(which));
}

/// Whether the lanes that an instruction names are all here. Lanes that have returned are not waited for.
bool Machine::may_synchronize(Warp& w, const Instruction& in, Fragment& fragment, Mask active) {
  Mask needed = 0;
  if (in.member_mask < 0) {
    needed = lanes_of(config_->block.count(), w.id);
  } else {
    const auto* masks = w.lanes<Mask>(in.member_mask);
    for (int l = 0; l < lane_count; ++l)
      if ((active >> l & 1) != 0) {
        if ((masks[l] >> l & 1) == 0)
          fault(cudaErrorLaunchFailure, "lane that is not in its own mask", w, in, l);
        needed |= masks[l];
      }
  }
  const Mask missing = needed & ~active & w.live;
  if (missing == 0) return true;
  if ((missing & fragment.mask) != 0)
    fault(cudaErrorLaunchFailure, "warp operation that a lane of its mask passes by", w, in,
          std::countr_zero(missing));
  return false;
}

void Machine::end_of_barrier() {
  const Instruction* first = nullptr;
  for (Warp& w : warps_)
    for (const Fragment& f : w.fragments) {
      const Instruction& in = program_->code[f.pc];
      if (first == nullptr) first = &in;
      if (f.pc != first->index) report_at("barrier in divergent code", w, in, std::countr_zero(f.mask));
    }
  for (Warp& w : warps_) {
    const Mask gone = lanes_of(config_->block.count(), w.id) & ~w.live;
    if (gone != 0) report_at("barrier that a thread never reaches", w, *first, std::countr_zero(gone));
    for (Fragment& f : w.fragments) {
      f.state = Fragment::State::running;
      ++f.pc;
    }
  }
  next_block_interval();
}

Moment Machine::shared_moment() const {
  return {moment_.interval, moment_.block, moment_.block, moment_.block - 1};
}

std::string Machine::where(const Warp& w, const Instruction& in, int lane) const {
  const std::uint32_t t = w.id * lane_count + static_cast<unsigned>(lane);
  const Dim3& b = config_->block;
  const auto triple = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) {
    return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
  };
  return program_->demangled() + " at " + program_->place(in) + " `" + in.source->text + "`, block " +
         triple(block_index_.x, block_index_.y, block_index_.z) + " thread " +
         triple(t % b.x, t / b.x % b.y, t / (b.x * b.y));
}

void Machine::report_at(const char* what, const Warp& w, const Instruction& in, int lane) const {
  report(program_->name + what + std::to_string(in.index), std::string(what) + " in " + where(w, in, lane));
}

void Machine::fault(int error, const char* what, const Warp& w, const Instruction& in, int lane) const {
  report_at(what, w, in, lane);
  throw KernelFault(error, std::string(what) + " in " + where(w, in, lane));
}

}  // namespace gpuemu
