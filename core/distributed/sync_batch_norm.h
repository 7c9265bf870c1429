#pragma once
#include <memory>

#include <karyon/core/distributed/process_group.h>
#include <karyon/core/ops/norm.h>

namespace karyon::distributed {

/// batch_norm by the statistics of the batches of all ranks together, as torch.nn.SyncBatchNorm. Every rank
/// calls it with the same number of channels; the other sizes may differ. In evaluation, and in a group of
/// one, it is batch_norm. The gradient shares two sums per channel, so all ranks call backward(), too. Shapes,
/// dtypes and errors are batch_norm's; but one value per channel is enough if other ranks have more.
Tensor sync_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                       Tensor running_var, const std::shared_ptr<ProcessGroup>& group,
                       const BatchNormOptions& options = {});

}  // namespace karyon::distributed
