#pragma once
#include <karyon/core/optim/optimizer.h>

namespace karyon {

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  ///< needs momentum and no dampening
};

/// Stochastic gradient descent, as torch.optim.SGD. g += weight_decay p; v = momentum v + (1 - dampening) g,
/// at first v = g. Then p -= lr v, or p -= lr (g + momentum v) with nesterov.
class SGD : public Optimizer {
 public:
  explicit SGD(std::vector<Tensor> parameters, const SGDOptions& options = {});
  explicit SGD(std::vector<ParamGroup> groups, const SGDOptions& options = {});

 private:
  void update(Bundle& bundle) override;
  SGDOptions options_;
};

}  // namespace karyon
