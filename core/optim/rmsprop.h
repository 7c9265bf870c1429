#pragma once
#include <karyon/core/optim/optimizer.h>

namespace karyon {

struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;  ///< divide by the gradient's estimated standard deviation
};

/// RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e, 2012), as torch.optim.RMSprop.
/// g += weight_decay p; s = alpha s + (1 - alpha) g^2; d = g / (sqrt(s) + eps). Centered takes sqrt(s - a^2)
/// with a = alpha a + (1 - alpha) g. Then p -= lr d, or with momentum v = momentum v + d; p -= lr v.
class RMSprop : public Optimizer {
 public:
  explicit RMSprop(std::vector<Tensor> parameters, const RMSpropOptions& options = {});
  explicit RMSprop(std::vector<ParamGroup> groups, const RMSpropOptions& options = {});

 private:
  void update(Bundle& bundle) override;
  RMSpropOptions options_;
};

}  // namespace karyon
