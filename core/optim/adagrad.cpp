#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/adagrad.h>

namespace karyon {

Adagrad::Adagrad(std::vector<Tensor> parameters, const AdagradOptions& options)
    : Adagrad(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

Adagrad::Adagrad(std::vector<ParamGroup> groups, const AdagradOptions& options)
    : Optimizer("Adagrad", std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
                {"sum"}),
      options_(options) {
  check(options.lr_decay >= 0, "Adagrad: expects lr_decay >= 0, got ", options.lr_decay);
  check(options.initial_accumulator_value >= 0, "Adagrad: expects initial_accumulator_value >= 0, got ",
        options.initial_accumulator_value);
  check(options.eps >= 0, "Adagrad: expects eps >= 0, got ", options.eps);
}

void Adagrad::update(Bundle& bundle) {
  if (bundle.step == 1)
    for (Tensor& sum : bundle.buffers[0]) sum.fill_(options_.initial_accumulator_value);
  const auto before = static_cast<double>(bundle.step - 1);
  kernels::adagrad_step({.lr = bundle.lr / (1 + before * options_.lr_decay),
                         .eps = options_.eps,
                         .weight_decay = bundle.weight_decay},
                        bundle.grads, bundle.parameters, bundle.buffers[0]);
}

}  // namespace karyon
