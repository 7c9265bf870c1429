#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <karyon/core/distributed/reduce_op.h>
#include <karyon/core/dtype.h>
#include <karyon/core/messages/transport.h>

namespace karyon::distributed {

/// What a process group does with memory of the CPU; a backend overrides it. All calls come from one thread.
/// Every rank makes the same calls with the same sizes, in the same order.
class Collectives {
 public:
  virtual ~Collectives() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// data = that of all ranks added up (or their mean, smallest, largest); the same bits on every rank.
  virtual void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) = 0;
  /// data = that of `root`.
  virtual void broadcast(void* data, std::size_t bytes, int root) = 0;
  /// all[r] = what rank r has at `mine`.
  virtual void all_gather(const void* mine, std::size_t bytes, void* all) = 0;
  /// Throws RankLost if a rank is known to have ended. Called now and then while there is nothing to do.
  virtual void look_for_lost() {}
  virtual void leave() = 0;
  [[noreturn]] virtual void abort(int code) = 0;
};

/// Collectives of messages. all_reduce adds in the order of ranks: element i lies with one rank, which gets it
/// from all the others, adds, and sends the result back. So each rank sends and receives 2 (n - 1) / n of the
/// data, as in a ring, and the bits depend on the number of ranks alone. bf16 is added in f32 and rounded once.
///   patience  seconds to wait for the other ranks before it is an Error
std::unique_ptr<Collectives> message_collectives(std::unique_ptr<Transport> transport, double patience);

}  // namespace karyon::distributed
