#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace karyon::distributed {

/// Tells one process of a job from any other, also from a later one with the same number.
struct Peer {
  std::array<char, 64> host{};
  std::int64_t pid = 0;
  std::uint64_t pid_namespace = 0;  // numbers mean something inside of one
  std::uint64_t started = 0;        // in ticks since the machine started; 0 where the system does not tell
};

/// This process.
Peer this_peer();

/// Whether a process has ended. Of other machines nothing is known: they count as alive.
bool has_ended(const Peer& peer, const Peer& self);

std::string host_of(const Peer& peer);

}  // namespace karyon::distributed
