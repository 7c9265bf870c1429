#include <cstdlib>
#include <memory>

#include <karyon/core/check.h>
#include <karyon/core/cpu/simd/scratch.h>

namespace karyon::cpu {
namespace {

struct Slot {
  std::unique_ptr<float, decltype(&std::free)> memory{nullptr, std::free};
  std::int64_t size = 0;
};

}  // namespace

float* scratch(std::int64_t floats, int slot) {
  thread_local Slot slots[4];
  Slot& s = slots[slot];
  if (s.size < floats) {
    const std::int64_t rounded = round_up(floats, 16);
    s.memory.reset();  // free the old block first: both together may not fit
    s.size = 0;
    s.memory.reset(static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>(rounded) * 4)));
    check(s.memory != nullptr, "convolution: no memory left for ", rounded * 4, " bytes of scratch");
    s.size = rounded;
  }
  return s.memory.get();
}

}  // namespace karyon::cpu
