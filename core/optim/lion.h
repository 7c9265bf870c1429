#pragma once
#include <karyon/core/optim/optimizer.h>

namespace karyon {

struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
};

/// Lion (Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, algorithm 2). Every element moves
/// by lr: p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p), then m = beta2 m + (1 - beta2) g. Take a
/// rate 3 to 10 times smaller than Adam's, and a weight decay that is larger by the same factor.
class Lion : public Optimizer {
 public:
  explicit Lion(std::vector<Tensor> parameters, const LionOptions& options = {});
  explicit Lion(std::vector<ParamGroup> groups, const LionOptions& options = {});

 private:
  void update(Bundle& bundle) override;
  LionOptions options_;
};

}  // namespace karyon
