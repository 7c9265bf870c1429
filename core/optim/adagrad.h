#pragma once
#include <karyon/core/optim/optimizer.h>

namespace karyon {

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};

/// Adagrad (Duchi, Hazan and Singer, 2011), as torch.optim.Adagrad. g += weight_decay p; sum += g^2;
/// p -= lr / (1 + (step - 1) lr_decay) g / (sqrt(sum) + eps).
class Adagrad : public Optimizer {
 public:
  explicit Adagrad(std::vector<Tensor> parameters, const AdagradOptions& options = {});
  explicit Adagrad(std::vector<ParamGroup> groups, const AdagradOptions& options = {});

 private:
  void update(Bundle& bundle) override;
  AdagradOptions options_;
};

}  // namespace karyon
