#include "queue.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gpuemu {
namespace {

void join(Clock& into, const Clock& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}

void advance(Clock& clock, std::size_t stream, std::uint64_t sequence) {
  if (clock.size() <= stream) clock.resize(stream + 1);
  clock[stream] = std::max(clock[stream], sequence);
}

}  // namespace

Queue::Queue() {
  const char* mode = std::getenv("GPUEMU_STREAMS");
  eager_ = mode != nullptr && std::strcmp(mode, "eager") == 0;
  create(true);
}

Stream* Queue::create(bool blocking) {
  streams_.push_back(std::make_unique<Stream>());
  streams_.back()->number = streams_.size() - 1;
  streams_.back()->blocking = blocking;
  return streams_.back().get();
}

void Queue::destroy(Stream* stream) {
  // What is queued is still done. The number stays taken, so that clocks keep their meaning.
  run_until(*stream, stream->queued);
}

Stream* Queue::find(void* handle) {
  for (const auto& s : streams_)
    if (s.get() == handle) return s.get();
  return nullptr;
}

Operation& Queue::append(Stream& stream) {
  stream.pending.emplace_back();
  Operation& op = stream.pending.back();
  op.sequence = ++stream.queued;
  op.known = host_;
  // The default stream and the blocking ones wait for each other.
  const auto mark_end = [&op](Stream& other) {
    if (other.pending.empty()) return;
    Operation& last = other.pending.back();
    if (last.mark == nullptr) {
      last.mark = std::make_shared<Mark>();
      last.mark->stream = &other;
      last.mark->sequence = last.sequence;
    }
    op.after.push_back(last.mark);
  };
  if (&stream == &default_stream()) {
    for (std::size_t i = 1; i < streams_.size(); ++i)
      if (streams_[i]->blocking) {
        mark_end(*streams_[i]);
        join(op.known, streams_[i]->clock);
      }
  } else if (stream.blocking) {
    mark_end(default_stream());
    join(op.known, default_stream().clock);
  }
  return op;
}

void Queue::add(Stream& stream, std::function<void(Moment)> run) {
  append(stream).run = std::move(run);
  if (eager_) run_until(stream, stream.queued);
}

std::shared_ptr<Mark> Queue::record(Stream& stream) {
  Operation& op = append(stream);
  op.mark = std::make_shared<Mark>();
  op.mark->stream = &stream;
  op.mark->sequence = op.sequence;
  auto mark = op.mark;
  if (eager_) run_until(stream, stream.queued);
  return mark;
}

void Queue::wait(Stream& stream, const std::shared_ptr<Mark>& mark) {
  append(stream).after.push_back(mark);
  if (eager_) run_until(stream, stream.queued);
}

void Queue::run_until(Stream& stream, std::uint64_t sequence) {
  while (stream.done < sequence && !stream.pending.empty()) run_next(stream);
}

void Queue::run_next(Stream& stream) {
  Operation op = std::move(stream.pending.front());
  stream.pending.pop_front();
  Clock clock = op.known;
  join(clock, stream.clock);
  for (const auto& mark : op.after) {
    run_until(*mark->stream, mark->sequence);
    join(clock, mark->clock);
  }
  advance(clock, stream.number, op.sequence);
  if (op.run) {
    Moment moment;
    moment.interval = moment.block = moment.operation = ++last_interval;
    bool all_ordered = true;
    for (const auto& s : streams_)
      all_ordered &= s->done == 0 || (s->number < clock.size() && clock[s->number] >= s->done);
    moment.ordered = all_ordered ? last_interval - 1 : 0;
    began_.push_back({last_interval, stream.number, op.sequence});
    running_ = &clock;
    op.run(moment);
    running_ = nullptr;
  }
  stream.done = op.sequence;
  stream.clock = std::move(clock);
  if (op.mark != nullptr) {
    op.mark->done = true;
    op.mark->clock = stream.clock;
    op.mark->when = std::chrono::steady_clock::now();
  }
}

void Queue::synchronize(Stream& stream) {
  run_until(stream, stream.queued);
  join(host_, stream.clock);
}

void Queue::synchronize() {
  for (std::size_t i = 0; i < streams_.size(); ++i) synchronize(*streams_[i]);
}

void Queue::synchronize(const std::shared_ptr<Mark>& mark) {
  run_until(*mark->stream, mark->sequence);
  join(host_, mark->clock);
}

Moment Queue::host_moment() {
  Moment moment;
  moment.interval = moment.block = moment.operation = ++last_interval;
  moment.ordered = last_interval - 1;
  began_.push_back({last_interval, 0, 0});
  return moment;
}

bool Queue::ordered(Interval interval) const {
  const auto after = std::upper_bound(began_.begin(), began_.end(), interval,
                                      [](Interval i, const Began& b) { return i < b.interval; });
  if (after == began_.begin() || running_ == nullptr) return true;
  const Began& op = *std::prev(after);
  return op.sequence == 0 || (op.stream < running_->size() && (*running_)[op.stream] >= op.sequence);
}

bool operation_ordered(Interval interval) { return queue().ordered(interval); }

Queue& queue() {
  static auto* q = new Queue;
  return *q;
}

}  // namespace gpuemu
