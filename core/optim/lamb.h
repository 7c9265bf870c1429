#pragma once
#include <karyon/core/optim/optimizer.h>

namespace karyon {

struct LAMBOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;
};

/// LAMB (You et al., Large Batch Optimization for Deep Learning, 2020, algorithm 2), for large batches. With
/// Adam's corrected averages d = m / (sqrt(v) + eps) + weight_decay p, each tensor moves by a share of its own
/// norm: p -= lr ||p|| / ||d|| d. The factor ||p|| / ||d|| is 1 where a norm is 0.
class LAMB : public Optimizer {
 public:
  explicit LAMB(std::vector<Tensor> parameters, const LAMBOptions& options = {});
  explicit LAMB(std::vector<ParamGroup> groups, const LAMBOptions& options = {});

 private:
  void update(Bundle& bundle) override;
  LAMBOptions options_;
};

}  // namespace karyon
