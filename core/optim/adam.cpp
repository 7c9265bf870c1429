#include <cmath>

#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/adam.h>

namespace karyon {

Adam::Adam(std::vector<Tensor> parameters, const AdamOptions& options)
    : Adam(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

Adam::Adam(std::vector<ParamGroup> groups, const AdamOptions& options)
    : Adam("Adam", std::move(groups), options, false) {}

Adam::Adam(const char* name, std::vector<ParamGroup> groups, const AdamOptions& options, bool decoupled)
    : Optimizer(name, std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
                {"exp_avg", "exp_avg_sq"}),
      options_(options),
      decoupled_(decoupled) {
  for (const double beta : {options.beta1, options.beta2})
    check(beta >= 0 && beta < 1, name, ": expects betas in [0, 1), got ", beta);
  check(options.eps >= 0, name, ": expects eps >= 0, got ", options.eps);
}

void Adam::update(Bundle& bundle) {
  const auto t = static_cast<double>(bundle.step);
  kernels::adam_step({.lr = bundle.lr,
                      .beta1 = options_.beta1,
                      .beta2 = options_.beta2,
                      .eps = options_.eps,
                      .weight_decay = bundle.weight_decay,
                      .correction1 = 1 - std::pow(options_.beta1, t),
                      .correction2 = 1 - std::pow(options_.beta2, t),
                      .decoupled = decoupled_},
                     bundle.grads, bundle.parameters, bundle.buffers[0], bundle.buffers[1]);
}

AdamW::AdamW(std::vector<Tensor> parameters, const AdamWOptions& options)
    : AdamW(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

AdamW::AdamW(std::vector<ParamGroup> groups, const AdamWOptions& o)
    : Adam("AdamW", std::move(groups),
           {.lr = o.lr, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay},
           true) {}

}  // namespace karyon
