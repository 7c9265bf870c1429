#pragma once
#include <cstdint>
#include <functional>

namespace karyon {

/// Threads that parallel_for may use, the caller's included. At the start: KARYON_NUM_THREADS, or
/// the processors this process may run on. Throws Error if KARYON_NUM_THREADS is not a number from 1 to 1024.
int num_threads();
/// Throws Error if n < 1.
void set_num_threads(int n);

/// Runs fn(begin, end) over [0, n) in chunks of `grain` (the last may be shorter). The chunks do not
/// depend on the number of threads, so a sum per chunk gives the same bits with any. Blocks until
/// all are done; an exception from fn is rethrown here. Inside fn it runs serially.
void parallel_for(std::int64_t n, std::int64_t grain,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& fn);

/// While it lives, parallel_for on this thread does its work alone. For a thread that is one of many, such as
/// a loader's worker: the other processors are left to the computation.
class SerialGuard {
 public:
  SerialGuard();
  ~SerialGuard();
  SerialGuard(const SerialGuard&) = delete;
  SerialGuard& operator=(const SerialGuard&) = delete;

 private:
  bool before_;
};

}  // namespace karyon
