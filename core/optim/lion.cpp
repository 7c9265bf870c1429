#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/lion.h>

namespace karyon {

Lion::Lion(std::vector<Tensor> parameters, const LionOptions& options)
    : Lion(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

Lion::Lion(std::vector<ParamGroup> groups, const LionOptions& options)
    : Optimizer("Lion", std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
                {"exp_avg"}),
      options_(options) {
  for (const double beta : {options.beta1, options.beta2})
    check(beta >= 0 && beta < 1, "Lion: expects betas in [0, 1), got ", beta);
}

void Lion::update(Bundle& bundle) {
  kernels::lion_step({.lr = bundle.lr,
                      .beta1 = options_.beta1,
                      .beta2 = options_.beta2,
                      .weight_decay = bundle.weight_decay},
                     bundle.grads, bundle.parameters, bundle.buffers[0]);
}

}  // namespace karyon
