#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include <karyon/core/check.h>
#include <karyon/core/distributed/rank_lost.h>
#include <karyon/core/messages/collectives.h>
#include <karyon/core/messages/peers.h>

namespace karyon::distributed {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t block = 4096;  // elements that are added up at once: they stay in the cache

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The type in which values are added: bf16 in f32.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

template <class W>
W combined(W a, W b, ReduceOp op) {
  if (op == ReduceOp::sum || op == ReduceOp::avg) return a + b;
  if constexpr (std::is_floating_point_v<W>)
    if (std::isnan(b)) return b;  // a that is NaN stays: it compares as false
  return (op == ReduceOp::min ? b < a : a < b) ? b : a;
}

// out = the parts of all ranks, in their order. `out` may be one of them.
template <class T>
void reduce(const std::vector<const char*>& parts, std::int64_t count, ReduceOp op, char* out) {
  using W = Wide<T>;
  const auto ranks = static_cast<W>(parts.size());
  W sums[block];
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t n = std::min(block, count - begin);
    const auto at = [begin](const char* part) { return reinterpret_cast<const T*>(part) + begin; };
    for (std::int64_t i = 0; i < n; ++i) sums[i] = static_cast<W>(at(parts[0])[i]);
    for (std::size_t r = 1; r < parts.size(); ++r) {
      const T* part = at(parts[r]);
      for (std::int64_t i = 0; i < n; ++i) sums[i] = combined(sums[i], static_cast<W>(part[i]), op);
    }
    T* to = reinterpret_cast<T*>(out) + begin;
    for (std::int64_t i = 0; i < n; ++i) to[i] = T(op == ReduceOp::avg ? sums[i] / ranks : sums[i]);
  }
}

class MessageCollectives : public Collectives {
 public:
  MessageCollectives(std::unique_ptr<Transport> transport, double patience)
      : transport_(std::move(transport)), patience_(patience), self_(this_peer()) {
    std::vector<Peer> peers(static_cast<std::size_t>(size()));
    all_gather(&self_, sizeof self_, peers.data());
    peers_ = std::move(peers);
  }

  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }

  void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) override {
    check(op != ReduceOp::avg || is_floating(dtype), "all_reduce: the mean expects f32, f64 or bf16, got ",
          dtype);
    auto* const bytes = static_cast<char*>(data);
    const auto width = static_cast<std::int64_t>(element_size(dtype));
    const auto begin = [&](int r) { return count * r / size() * width; };
    const auto length = [&](int r) { return static_cast<std::size_t>(begin(r + 1) - begin(r)); };
    // My share of what the others have.
    const std::size_t mine = length(rank());
    received_.resize(std::max(received_.size(), mine * static_cast<std::size_t>(size())));
    std::vector<const char*> parts;
    for (int r = 0; r < size(); ++r) {
      char* const part = received_.data() + mine * static_cast<std::size_t>(r);
      parts.push_back(r == rank() ? bytes + begin(r) : part);
      if (r == rank()) continue;
      if (mine > 0) transport_->receive(r, part, mine);
      if (length(r) > 0) transport_->send(r, bytes + begin(r), length(r));
    }
    wait();
    reduce_share(parts, static_cast<std::int64_t>(mine) / width, dtype, op, bytes + begin(rank()));
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      if (length(r) > 0) transport_->receive(r, bytes + begin(r), length(r));
      if (mine > 0) transport_->send(r, bytes + begin(rank()), mine);
    }
    wait();
  }

  void broadcast(void* data, std::size_t bytes, int root) override {
    // A binomial tree: in round k the first 2^k ranks, counted from the root, send to as many others.
    const int me = (rank() - root + size()) % size();
    const auto rank_at = [&](int place) { return (place + root) % size(); };
    for (int have = 1; have < size(); have *= 2) {
      if (me < have && me + have < size()) transport_->send(rank_at(me + have), data, bytes);
      if (me >= have && me < 2 * have) transport_->receive(rank_at(me - have), data, bytes);
      wait();
    }
  }

  void all_gather(const void* mine, std::size_t bytes, void* all) override {
    const auto place = [&](int r) { return static_cast<char*>(all) + bytes * static_cast<std::size_t>(r); };
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      transport_->receive(r, place(r), bytes);
      transport_->send(r, mine, bytes);
    }
    wait();
    if (bytes > 0) std::memmove(place(rank()), mine, bytes);
  }

  void look_for_lost() override {
    for (std::size_t r = 0; r < peers_.size(); ++r)
      if (!std::cmp_equal(r, rank()) && has_ended(peers_[r], self_))
        throw RankLost("rank " + std::to_string(r) + " has ended (process " + std::to_string(peers_[r].pid) +
                           " on " + host_of(peers_[r]) + "), so the job cannot go on",
                       static_cast<int>(r));
  }

  void leave() override {
    char here = 0;
    std::vector<char> all(static_cast<std::size_t>(size()));
    all_gather(&here, 1, all.data());  // where ranks are missing, this says so
    transport_->leave();
  }

  [[noreturn]] void abort(int code) override {
    transport_->abort(code);
    std::_Exit(code);  // GCC 12 does not see that abort() never returns
  }

 private:
  static void reduce_share(const std::vector<const char*>& parts, std::int64_t count, DType dtype,
                           ReduceOp op, char* out) {
    switch (dtype) {
      case DType::f32: return reduce<float>(parts, count, op, out);
      case DType::f64: return reduce<double>(parts, count, op, out);
      case DType::bf16: return reduce<BFloat16>(parts, count, op, out);
      case DType::i64: return reduce<std::int64_t>(parts, count, op, out);
      default: check(false, "all_reduce: expects f32, f64, bf16 or i64, got ", dtype);
    }
  }

  // Until all that was begun is done. It sleeps more and more, so that others may use the processor.
  void wait() {
    const auto begin = Clock::now();
    auto looked = begin;
    for (int round = 0; !transport_->finished(); ++round) {
      if (round < 200) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(round / 10, 1000)));
      if (seconds_since(looked) < 0.1) continue;
      looked = Clock::now();
      look_for_lost();
      if (seconds_since(begin) < patience_) continue;
      std::ostringstream text;
      text << "rank " << rank() << " has waited " << patience_
           << " seconds for the other ranks: one hangs, works longer than that, or its machine is gone";
      throw RankLost(text.str(), -1);
    }
  }

  std::unique_ptr<Transport> transport_;
  double patience_;
  Peer self_;
  std::vector<Peer> peers_;
  std::vector<char> received_;
};

}  // namespace

std::unique_ptr<Collectives> message_collectives(std::unique_ptr<Transport> transport, double patience) {
  return std::make_unique<MessageCollectives>(std::move(transport), patience);
}

}  // namespace karyon::distributed
