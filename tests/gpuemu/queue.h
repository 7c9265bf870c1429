#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.h"

namespace gpuemu {

/// How far each stream has come, by the stream's number: what is known to be over.
using Clock = std::vector<std::uint64_t>;

struct Stream;

/// A point of a stream, set by cudaEventRecord.
struct Mark {
  Stream* stream = nullptr;
  std::uint64_t sequence = 0;
  bool done = false;
  Clock clock;  // once done
  std::chrono::steady_clock::time_point when;
};

struct Operation {
  std::uint64_t sequence = 0;
  std::vector<std::shared_ptr<Mark>> after;
  Clock known;                      // what the host knew to be over when it queued this
  std::function<void(Moment)> run;  // may be empty
  std::shared_ptr<Mark> mark;       // set once done
};

struct Stream {
  std::size_t number = 0;
  bool blocking = true;  // waits for the default stream and is waited for by it
  std::uint64_t queued = 0, done = 0;
  std::deque<Operation> pending;
  Clock clock;  // of its last operation that is done
};

/// The streams of the device. Work is done as late as it can be: when the host or other work waits for it, so
/// that a missing synchronization shows (GPUEMU_STREAMS=eager: at once). Operations run one at a time; what
/// they may assume about each other is kept in clocks, which tell a race between streams even where the order
/// was good by chance.
class Queue {
 public:
  Queue();

  /// One lock for all of the runtime.
  std::recursive_mutex mutex;

  Stream& default_stream() { return *streams_[0]; }
  Stream* create(bool blocking);
  void destroy(Stream* stream);
  /// nullptr for a handle that is no stream.
  Stream* find(void* handle);

  void add(Stream& stream, std::function<void(Moment)> run);
  std::shared_ptr<Mark> record(Stream& stream);
  void wait(Stream& stream, const std::shared_ptr<Mark>& mark);

  /// Does the work of a stream, of all, or up to a mark; the host knows then that it is over.
  void synchronize(Stream& stream);
  void synchronize();
  void synchronize(const std::shared_ptr<Mark>& mark);
  bool idle(const Stream& stream) const { return stream.pending.empty(); }

  /// Whether the operation that runs comes after the one of an earlier interval.
  bool ordered(Interval interval) const;

  /// An interval that begins with an operation outside the streams. What it did is before all that is queued
  /// later.
  Moment host_moment();

  Interval last_interval = 0;  // the last that is used

 private:
  struct Began {
    Interval interval;
    std::size_t stream;
    std::uint64_t sequence;
  };
  bool eager_;
  std::vector<std::unique_ptr<Stream>> streams_;
  Clock host_;  // what the host knows to be over
  std::vector<Began> began_;
  const Clock* running_ = nullptr;

  Operation& append(Stream& stream);
  void run_until(Stream& stream, std::uint64_t sequence);
  void run_next(Stream& stream);
};

Queue& queue();

}  // namespace gpuemu
