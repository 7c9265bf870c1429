#pragma once
#include <cstdint>
#include <memory>

#include <karyon/core/distributed/process_group.h>
#include <karyon/layers/module.h>

namespace karyon {

struct DistributedDataParallelOptions {
  std::int64_t bucket_bytes = 4 << 20;  ///< gradients that are sent together
  bool compress_bf16 = false;           ///< gradients travel as bf16: half the bytes, 8 bits of precision
};

/// Trains one network on several processes, as torch.nn.parallel.DistributedDataParallel. Each rank works on
/// its own part of a batch. After backward() every rank has the mean of all ranks' gradients, with the same
/// bits, so that the same optimizer keeps the networks the same:
///
///     const auto group = distributed::init_process_group();
///     DistributedDataParallel parallel(net, group);
///     ...
///     loss(parallel(x), target).backward();
///     optimizer.step();
///
/// Gradients are gathered in buckets, in the reverse order of parameters(). A bucket is reduced as soon as it
/// and those before it are full, while backward goes on. Every rank calls backward() equally often, and once
/// for each gradient: gradients that are kept and added to are reduced anew each time, but not under NoSync.
/// A parameter that some ranks did not use counts as 0 there; one that no rank used keeps the gradient it had.
/// Only gradients are shared: convert_sync_batchnorm() shares the statistics of batch norms, too.
class DistributedDataParallel {
 public:
  using Options = DistributedDataParallelOptions;

  /// Parameters and buffers become those of rank 0. Parameters that require no gradient now are left out. The
  /// module must outlive this object, and stay on its device. Throws Error if ranks have other parameters.
  DistributedDataParallel(Module& module, std::shared_ptr<distributed::ProcessGroup> group,
                          const Options& options = {});
  ~DistributedDataParallel();
  DistributedDataParallel(const DistributedDataParallel&) = delete;
  DistributedDataParallel& operator=(const DistributedDataParallel&) = delete;

  Tensor operator()(Tensor x);

  /// While one lives, gradients stay with their rank, as with no_sync(). The next backward() after it reduces
  /// what has been added up since.
  class NoSync {
   public:
    explicit NoSync(DistributedDataParallel& parallel);
    ~NoSync();
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    DistributedDataParallel& parallel_;
    bool before_;
  };

  /// Of all backward passes so far.
  struct Counts {
    std::int64_t buckets = 0;
    std::int64_t early = 0;  ///< of them, begun while backward went on
    std::int64_t bytes = 0;  ///< of gradients that this rank reduced
    double seconds = 0;      ///< that reducing took
    double waited = 0;       ///< of them, those that backward() waited at its end
  };
  Counts counts() const;

 private:
  struct State;
  Module& module_;
  std::shared_ptr<State> state_;  // hooks of parameters hold it weakly
};

}  // namespace karyon
