#pragma once
#include <functional>
#include <memory>
#include <vector>

#include <karyon/core/distributed/reduce_op.h>
#include <karyon/core/tensor.h>

// Several processes that work together, as torch.distributed. Each has a rank, from 0 to size - 1.
namespace karyon::distributed {

class Collectives;

/// An operation that was begun and goes on beside the program.
class Work {
 public:
  struct State;
  /// Of nothing: done.
  Work() = default;
  explicit Work(std::shared_ptr<State> state) : state_(std::move(state)) {}
  /// Until it is done. Throws Error if it failed; RankLost (rank_lost.h) if a rank has ended.
  void wait();
  bool is_completed() const;
  /// How long it took by itself, without the time before its turn; 0 until it is done.
  double seconds() const;

 private:
  std::shared_ptr<State> state_;
};

/// The processes of a job. Every rank calls the same operations in the same order, with tensors of the same
/// shape and dtype; otherwise they fail or wait for each other until the job's timeout. All run on a thread of
/// their own, one after the other. Results have the same bits on every rank, and for a given number of ranks
/// the same bits in each run. Tensors on a GPU are copied to the CPU and back.
///
/// Once an operation has failed, so do all later ones: the group cannot be repaired. Threads may share a group
/// as long as all ranks still see one order.
class ProcessGroup {
 public:
  /// This process alone. Operations are then copies.
  ProcessGroup();
  /// `join` runs on the group's thread. Throws what it throws.
  explicit ProcessGroup(std::function<std::unique_ptr<Collectives>()> join);
  /// Leaves the job, together with all ranks; but not where an operation has failed or an exception is under
  /// way: then the other ranks are told by the end of this process.
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// x becomes the sum (or mean, smallest, largest) over the ranks, in place. Sums are made in the order of
  /// ranks; those of bf16 in f32, and rounded once.
  ///   x  f32, f64, bf16, or i64 without a mean
  void all_reduce(const Tensor& x, ReduceOp op = ReduceOp::sum);
  /// The same, begun: do not touch x before wait() returned.
  Work all_reduce_async(const Tensor& x, ReduceOp op = ReduceOp::sum);
  /// x becomes that of rank `root`, in place. Any dtype.
  void broadcast(const Tensor& x, int root = 0);
  /// The tensors of all ranks, in their order. Any dtype.
  std::vector<Tensor> all_gather(const Tensor& x);
  /// Returns when all ranks have called it.
  void barrier();

  /// Ends all processes of the job with this exit code.
  [[noreturn]] void abort(int code);

 private:
  struct Thread;
  Work start(const Tensor& x, std::function<void(Collectives&, void* host)> task, bool copy_back);

  int rank_ = 0, size_ = 1;
  int exceptions_;
  std::unique_ptr<Thread> thread_;  // null in a group of one
};

}  // namespace karyon::distributed
