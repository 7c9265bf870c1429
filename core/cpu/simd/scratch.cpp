#include <pthread.h>

#include <cstdlib>
#include <utility>

#include <karyon/core/check.h>
#include <karyon/core/cpu/simd/scratch.h>

namespace karyon::cpu {
namespace {

struct Slot {
  float* memory;
  std::int64_t size;
};
constexpr std::size_t slot_count = 4;

// A thread's slots are freed when it ends. A key can say that memory is short; the destructor of a
// thread_local object would end the program.
class ThreadEnd {
 public:
  ThreadEnd() {
    check(pthread_key_create(&key_, free_slots) == 0, "convolution: the system has no thread key left");
  }
  void frees(Slot* slots) const {
    check(pthread_setspecific(key_, slots) == 0, "convolution: no memory left for a thread's scratch");
  }

 private:
  static void free_slots(void* slots) {
    for (std::size_t i = 0; i < slot_count; ++i) std::free(static_cast<Slot*>(slots)[i].memory);
  }
  pthread_key_t key_{};
};

}  // namespace

float* scratch(std::int64_t floats, int slot) {
  thread_local Slot slots[slot_count];
  Slot& s = slots[slot];
  if (s.size < floats) {
    static const ThreadEnd thread_end;
    thread_end.frees(slots);
    const std::int64_t rounded = round_up(floats, 16);
    std::free(std::exchange(s.memory, nullptr));  // the old block first: both together may not fit
    s.size = 0;
    s.memory = static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>(rounded) * 4));
    check(s.memory != nullptr, "convolution: no memory left for ", rounded * 4, " bytes of scratch");
    s.size = rounded;
  }
  return s.memory;
}

}  // namespace karyon::cpu
