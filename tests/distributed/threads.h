#pragma once
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/distributed/process_group.h>
#include <karyon/core/messages/collectives.h>

// Ranks that are threads of one process, so that a test needs no MPI and sanitizers see all of them.
namespace karyon::distributed {

/// What is under way between them.
struct Mail {
  std::mutex mutex;
  std::map<std::pair<int, int>, std::deque<std::vector<char>>> sent;  // by sender and receiver
};

class ThreadTransport : public Transport {
 public:
  ThreadTransport(std::shared_ptr<Mail> mail, int rank, int size)
      : mail_(std::move(mail)), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void send(int to, const void* data, std::size_t bytes) override {
    const auto* begin = static_cast<const char*>(data);
    const std::lock_guard lock(mail_->mutex);
    mail_->sent[{rank_, to}].emplace_back(begin, begin + bytes);
  }
  void receive(int from, void* data, std::size_t bytes) override { wanted_.push_back({from, data, bytes}); }
  bool finished() override {
    const std::lock_guard lock(mail_->mutex);
    while (!wanted_.empty()) {
      const Wanted next = wanted_.front();
      auto& box = mail_->sent[{next.from, rank_}];
      if (box.empty()) return false;
      check(box.front().size() == next.bytes, "rank ", next.from, " sent ", box.front().size(),
            " bytes, expected ", next.bytes);
      if (next.bytes > 0) std::memcpy(next.data, box.front().data(), next.bytes);
      box.pop_front();
      wanted_.pop_front();
    }
    return true;
  }
  void leave() override {}
  [[noreturn]] void abort(int) override { throw Error("aborted"); }

 private:
  struct Wanted {
    int from;
    void* data;
    std::size_t bytes;
  };
  std::shared_ptr<Mail> mail_;
  int rank_, size_;
  std::deque<Wanted> wanted_;
};

/// Calls body(group) on `size` threads, which are its ranks. Rethrows what the first of them threw.
inline void on_ranks(int size, const std::function<void(std::shared_ptr<ProcessGroup>)>& body,
                     double patience = 60) {
  const auto mail = std::make_shared<Mail>();
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        body(std::make_shared<ProcessGroup>([&] {
          return message_collectives(std::make_unique<ThreadTransport>(mail, rank, size), patience);
        }));
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace karyon::distributed
