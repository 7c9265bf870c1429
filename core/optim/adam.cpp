#include <cmath>

#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/adam.h>

namespace karyon {

Adam::Adam(std::vector<Tensor> parameters, const AdamOptions& options)
    : Adam("Adam", std::move(parameters), options, false) {}

Adam::Adam(const char* name, std::vector<Tensor> parameters, const AdamOptions& options, bool decoupled)
    : Optimizer(name, std::move(parameters), options.lr, {"exp_avg", "exp_avg_sq"}),
      options_(options),
      decoupled_(decoupled) {
  for (const double beta : {options.beta1, options.beta2})
    check(beta >= 0 && beta < 1, name, ": expects betas in [0, 1), got ", beta);
  check(options.eps >= 0, name, ": expects eps >= 0, got ", options.eps);
  check(options.weight_decay >= 0, name, ": expects weight_decay >= 0, got ", options.weight_decay);
}

void Adam::update(Group& group) {
  const auto t = static_cast<double>(group.step);
  kernels::adam_step({.lr = lr(),
                      .beta1 = options_.beta1,
                      .beta2 = options_.beta2,
                      .eps = options_.eps,
                      .weight_decay = options_.weight_decay,
                      .correction1 = 1 - std::pow(options_.beta1, t),
                      .correction2 = 1 - std::pow(options_.beta2, t),
                      .decoupled = decoupled_},
                     group.grads, group.parameters, group.buffers[0], group.buffers[1]);
}

AdamW::AdamW(std::vector<Tensor> parameters, const AdamWOptions& o)
    : Adam("AdamW", std::move(parameters),
           {.lr = o.lr, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay},
           true) {}

}  // namespace karyon
