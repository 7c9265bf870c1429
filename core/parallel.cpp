#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

int default_threads() {
  if (const char* text = std::getenv("KARYON_NUM_THREADS")) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    check(end != text && *end == '\0' && n >= 1 && n <= 1024, "KARYON_NUM_THREADS: expects 1 to 1024, got '",
          text, "'");
    return static_cast<int>(n);
  }
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// One job at a time; its chunks are handed out by a counter, so a slow thread takes fewer.
struct Job {
  std::int64_t n, grain, chunks;
  const std::function<void(std::int64_t, std::int64_t)>* fn;
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error{};
  std::mutex error_mutex{};

  void run() {
    for (std::int64_t c; (c = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      try {
        (*fn)(c * grain, std::min(n, (c + 1) * grain));
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(chunks, std::memory_order_relaxed);
      }
    }
  }
};

thread_local bool inside = false;

// A sleeping thread takes tens of microseconds to wake, as long as a small operation takes. Within a training
// step the next job comes sooner than that.
template <class F>
void spin_until(F done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
  while (!done() && std::chrono::steady_clock::now() < end)
    for (int i = 0; i < 16 && !done(); ++i) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
}

class Pool {
 public:
  explicit Pool(int workers) {
    try {
      for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::exception&) {
      // The system gives no more threads, or no memory for them: the ones that run do the work.
    }
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(Job& job) {
    bool asleep;
    {
      std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
      asleep = asleep_ > 0;
    }
    if (asleep) wake_.notify_all();
    inside = true;
    job.run();
    inside = false;
    std::unique_lock lock(mutex_);
    job_ = nullptr;  // a thread that has not started yet finds no work left
    lock.unlock();
    spin_until([this] { return active_ == 0; });
    lock.lock();
    done_.wait(lock, [this] { return active_ == 0; });
  }

 private:
  void work() {
    inside = true;
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      lock.unlock();
      spin_until([&] { return stop_ || generation_ != seen; });
      lock.lock();
      ++asleep_;
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      --asleep_;
      if (stop_) return;
      seen = generation_;
      Job* job = job_;
      if (!job) continue;  // the others have done it already
      ++active_;
      lock.unlock();
      job->run();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int asleep_ = 0;  // in wake_.wait
  // Changed with the mutex held only; spin_until reads them without it.
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> active_{0};
  std::atomic<bool> stop_{false};
};

std::atomic<int> thread_count{0};
std::mutex pool_mutex;  // held while a job runs: a second caller does its work alone
Pool* pool = nullptr;   // never destroyed at exit, when its threads may be gone already
int pool_workers = 0;

}  // namespace

int num_threads() {
  int n = thread_count.load();
  if (n == 0) {
    n = default_threads();
    int expected = 0;
    if (!thread_count.compare_exchange_strong(expected, n)) n = expected;
  }
  return n;
}

void set_num_threads(int n) {
  check(n >= 1 && n <= 1024, "set_num_threads: expects 1 to 1024, got ", n);
  thread_count.store(n);
}

void parallel_for(std::int64_t n, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& fn) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  Job job{.n = n, .grain = grain, .chunks = (n + grain - 1) / grain, .fn = &fn};
  const int threads = num_threads();
  std::unique_lock lock(pool_mutex, std::defer_lock);
  if (job.chunks > 1 && threads > 1 && !inside && lock.try_lock()) {
    if (pool_workers != threads - 1) {
      delete pool;
      pool = nullptr;
      pool_workers = 0;
      pool = new Pool(threads - 1);
      pool_workers = threads - 1;
    }
    pool->run(job);
  } else {
    job.run();
  }
  if (job.error) std::rethrow_exception(job.error);
}

SerialGuard::SerialGuard() : before_(inside) { inside = true; }
SerialGuard::~SerialGuard() { inside = before_; }

}  // namespace karyon
