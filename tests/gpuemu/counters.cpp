#include "counters.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>

namespace gpuemu {
namespace {

struct AllCounters {
  std::string path;
  std::map<const Program*, KernelCounters> kernels;
};

AllCounters& all() {
  static auto* counters = new AllCounters;
  return *counters;
}

/// A line per kernel (its mangled name) and source line; a kernel's numbers are the sums of its lines.
void write_counters() {
  std::ostringstream out;
  for (const auto& [program, kernel] : all().kernels) {
    std::map<std::string, InstructionCounters> places;
    for (const Instruction& in : program->code) {
      const InstructionCounters& c = kernel.instructions[in.index];
      InstructionCounters& sum = places[program->place(in)];
      sum.executed += c.executed;
      sum.lanes += c.lanes;
      sum.divergent += c.divergent;
      sum.bytes += c.bytes;
      sum.sectors += c.sectors;
      sum.ideal_sectors += c.ideal_sectors;
      sum.shared_requests += c.shared_requests;
      sum.shared_conflicts += c.shared_conflicts;
    }
    for (const auto& [place, c] : places)
      out << program->name << ",\"" << place << "\"," << kernel.launches << ',' << c.executed << ','
          << c.lanes << ',' << c.divergent << ',' << c.bytes << ',' << c.sectors << ',' << c.ideal_sectors
          << ',' << c.shared_requests << ',' << c.shared_conflicts << '\n';
  }
  // Many processes may append to one file; the first of them writes the head.
  const int file = open(all().path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (file >= 0) flock(file, LOCK_EX);
  std::string text = out.str();
  if (file >= 0 && lseek(file, 0, SEEK_END) == 0)
    text =
        "kernel,place,launches,executed,lanes,divergent,bytes,sectors,ideal_sectors,shared_requests,shared_"
        "conflicts\n" +
        text;
  if (file < 0 || write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    std::fprintf(stderr, "gpuemu: cannot write %s\n", all().path.c_str());
  if (file >= 0) close(file);
}

/// Distinct values of `unit`-byte pieces that the lanes' accesses touch.
int distinct(const std::uint64_t (&address)[lane_count], Mask mask, std::uint64_t unit) {
  std::uint64_t seen[lane_count];
  int n = 0;
  for (int l = 0; l < lane_count; ++l)
    if ((mask >> l & 1) != 0) {
      const std::uint64_t piece = address[l] / unit;
      // Neighbours mostly share a piece; the search is for the rest.
      if (n != 0 && (seen[n - 1] == piece || std::find(seen, seen + n, piece) != seen + n)) continue;
      seen[n++] = piece;
    }
  return n;
}

}  // namespace

KernelCounters* counters_of(const Program& program) {
  static const bool counting = [] {
    const char* path = std::getenv("GPUEMU_COUNTERS");
    if (path == nullptr || *path == '\0') return false;
    all().path = path;
    std::atexit(write_counters);
    return true;
  }();
  if (!counting) return nullptr;
  KernelCounters& k = all().kernels[&program];
  k.instructions.resize(program.code.size());
  return &k;
}

void count_global(InstructionCounters& c, const std::uint64_t (&address)[lane_count], Mask mask, int bytes) {
  const auto size = static_cast<std::uint64_t>(bytes);
  c.bytes += size * static_cast<unsigned>(std::popcount(mask));
  c.sectors += static_cast<unsigned>(distinct(address, mask, 32));
  c.ideal_sectors += (static_cast<unsigned>(distinct(address, mask, size)) * size + 31) / 32;
}

void count_shared(InstructionCounters& c, const std::uint64_t (&address)[lane_count], Mask mask, int bytes) {
  // A pass serves 128 bytes: all lanes of 4 bytes or fewer, half of them with 8 bytes, a quarter with 16.
  const int lanes_per_pass = bytes <= 4 ? lane_count : lane_count * 4 / bytes;
  for (int first = 0; first < lane_count; first += lanes_per_pass) {
    std::uint64_t words[32][lane_count];
    int used[32] = {}, worst = 0;
    for (int l = first; l < first + lanes_per_pass; ++l) {
      if ((mask >> l & 1) == 0) continue;
      for (std::uint64_t word = address[l] / 4; word <= (address[l] + static_cast<unsigned>(bytes) - 1) / 4;
           ++word) {
        const auto bank = word % 32;
        if (std::find(words[bank], words[bank] + used[bank], word) != words[bank] + used[bank]) continue;
        words[bank][used[bank]++] = word;
        worst = std::max(worst, used[bank]);
      }
    }
    if (worst == 0) continue;
    ++c.shared_requests;
    c.shared_conflicts += static_cast<unsigned>(worst - 1);
  }
}

}  // namespace gpuemu
