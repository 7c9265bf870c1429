#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/distributed/process_group.h>
#include <karyon/core/distributed/rank_lost.h>
#include <karyon/core/messages/collectives.h>

namespace karyon::distributed {
namespace {

std::size_t bytes_of(const Tensor& x) {
  return static_cast<std::size_t>(x.numel()) * element_size(x.dtype());
}

// For what must live as long as the process.
template <class T>
void keep_forever(T value) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<T>;
  const std::lock_guard lock(mutex);
  kept->push_back(std::move(value));
}

}  // namespace

struct Work::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  double seconds = 0;
  std::exception_ptr error;
  std::function<void()> afterwards;  // on the thread that waits

  void finish(double took, std::exception_ptr failure) {
    const std::lock_guard lock(mutex);
    done = true;
    seconds = took;
    error = std::move(failure);
    changed.notify_all();
  }
};

void Work::wait() {
  if (!state_) return;
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->done; });
  if (state_->error) std::rethrow_exception(state_->error);
  if (const auto afterwards = std::exchange(state_->afterwards, nullptr)) afterwards();
}

bool Work::is_completed() const {
  if (!state_) return true;
  const std::lock_guard lock(state_->mutex);
  return state_->done;
}

double Work::seconds() const {
  if (!state_) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->seconds;
}

// The thread on which a group's operations run, in the order in which they were begun.
struct ProcessGroup::Thread {
  struct Task {
    std::function<void()> run;
    std::shared_ptr<Work::State> work;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> tasks;
  bool stop = false;
  std::exception_ptr failure;
  std::unique_ptr<Collectives> collectives;
  std::thread thread;

  std::shared_ptr<Work::State> begin(std::function<void(Collectives&)> run) {
    return push([this, run = std::move(run)] { run(*collectives); });
  }

  std::shared_ptr<Work::State> push(std::function<void()> run) {
    auto work = std::make_shared<Work::State>();
    {
      const std::lock_guard lock(mutex);
      tasks.push_back({std::move(run), work});
    }
    changed.notify_one();
    return work;
  }

  void work() {
#ifdef __linux__
    pthread_setname_np(pthread_self(), "karyon-ranks");  // for tools that list threads
#endif
    std::unique_lock lock(mutex);
    for (;;) {
      if (!changed.wait_for(lock, std::chrono::milliseconds(100), [&] { return stop || !tasks.empty(); })) {
        lock.unlock();
        look_for_lost();
        lock.lock();
        continue;
      }
      if (tasks.empty()) return;
      Task task = std::move(tasks.front());
      tasks.pop_front();
      lock.unlock();
      run(task);
      lock.lock();
    }
  }

  // The ranks compute, and one of them may never come back.
  void look_for_lost() {
    if (failure || !collectives) return;
    try {
      collectives->look_for_lost();
    } catch (...) {
      fail();
    }
  }

  // In a catch block. A lost rank is told at once: a launcher ends the others a second later, which may be
  // before an exception is seen by anybody. The first rank that is left speaks.
  void fail() {
    failure = std::current_exception();
    try {
      throw;
    } catch (const RankLost& lost) {
      if (lost.rank() < 0 || !collectives || collectives->rank() != (lost.rank() == 0 ? 1 : 0)) return;
      const std::string text = std::string("karyon: ") + lost.what() + "\n";
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    } catch (...) {
      return;
    }
  }

  void run(Task& task) {
    const auto begin = std::chrono::steady_clock::now();
    if (!failure) {
      try {
        task.run();
      } catch (...) {
        fail();
        keep_forever(std::move(task.run));  // with the memory in which messages may still arrive
      }
    }
    task.run = nullptr;  // a tensor's owner is the caller alone again
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    task.work->finish(took.count(), failure);
  }
};

ProcessGroup::ProcessGroup() : exceptions_(std::uncaught_exceptions()) {}

ProcessGroup::ProcessGroup(std::function<std::unique_ptr<Collectives>()> join)
    : exceptions_(std::uncaught_exceptions()), thread_(std::make_unique<Thread>()) {
  thread_->thread = std::thread([t = thread_.get()] { t->work(); });
  Work joined(thread_->push([t = thread_.get(), &join] { t->collectives = join(); }));
  try {
    joined.wait();
  } catch (...) {
    thread_->stop = true;
    thread_->changed.notify_one();
    thread_->thread.join();
    throw;
  }
  rank_ = thread_->collectives->rank();
  size_ = thread_->collectives->size();
}

ProcessGroup::~ProcessGroup() {
  if (!thread_) return;
  if (std::uncaught_exceptions() == exceptions_) thread_->begin([](Collectives& all) { all.leave(); });
  {
    const std::lock_guard lock(thread_->mutex);
    thread_->stop = true;
  }
  thread_->changed.notify_one();
  thread_->thread.join();
  if (thread_->failure) keep_forever(std::move(thread_->collectives));  // messages may still be under way
}

// Runs `task` with x's memory, or with a copy of it on the CPU.
Work ProcessGroup::start(const Tensor& x, std::function<void(Collectives&, void* host)> task,
                         bool copy_back) {
  const NoGradGuard no_grad;
  Tensor host = x.detach().to(Device::cpu());
  if (copy_back) host.before_write();
  void* const data = host.data_ptr();
  auto state = thread_->begin(
      [host, data, task = std::move(task)](Collectives& collectives) { task(collectives, data); });
  if (copy_back && x.device() != Device::cpu())
    state->afterwards = [x = x.detach(), host]() mutable {
      const NoGradGuard no_recording;
      x.copy_(host);
    };
  return Work(std::move(state));
}

Work ProcessGroup::all_reduce_async(const Tensor& x, ReduceOp op) {
  check(x.defined(), "all_reduce: expects a tensor, got none");
  const bool adds = (is_floating(x.dtype()) && x.dtype() != f16) || (x.dtype() == i64 && op != ReduceOp::avg);
  check(adds, "all_reduce: expects f32, f64, bf16, or i64 without a mean, got ", x.dtype());
  if (!thread_) return {};
  return start(
      x,
      [n = x.numel(), dtype = x.dtype(), op](Collectives& all, void* host) {
        all.all_reduce(host, n, dtype, op);
      },
      true);
}

void ProcessGroup::all_reduce(const Tensor& x, ReduceOp op) { all_reduce_async(x, op).wait(); }

void ProcessGroup::broadcast(const Tensor& x, int root) {
  check(x.defined(), "broadcast: expects a tensor, got none");
  check(root >= 0 && root < size_, "broadcast: expects a root from 0 to ", size_ - 1, ", got ", root);
  if (!thread_) return;
  start(
      x, [bytes = bytes_of(x), root](Collectives& all, void* host) { all.broadcast(host, bytes, root); },
      true)
      .wait();
}

std::vector<Tensor> ProcessGroup::all_gather(const Tensor& x) {
  check(x.defined(), "all_gather: expects a tensor, got none");
  if (!thread_) return {x.detach().clone()};
  const std::int64_t n = x.numel();
  Tensor all = empty({size_ * n}, {.dtype = x.dtype()});
  start(
      x,
      [bytes = bytes_of(x), all, to = all.data_ptr()](Collectives& collectives, void* host) {
        collectives.all_gather(host, bytes, to);
      },
      false)
      .wait();
  std::vector<Tensor> parts;
  for (int r = 0; r < size_; ++r) parts.push_back(view(all, x.shape(), r * n).clone().to(x.device()));
  return parts;
}

void ProcessGroup::barrier() { all_gather(zeros({1}, {.dtype = u8})); }

void ProcessGroup::abort(int code) {
  if (thread_ && thread_->collectives) thread_->collectives->abort(code);  // from any thread
  std::_Exit(code);
}

}  // namespace karyon::distributed
