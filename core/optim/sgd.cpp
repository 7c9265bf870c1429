#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/sgd.h>

namespace karyon {

SGD::SGD(std::vector<Tensor> parameters, const SGDOptions& options)
    : SGD(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

SGD::SGD(std::vector<ParamGroup> groups, const SGDOptions& options)
    : Optimizer(
          "SGD", std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
          options.momentum != 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
      options_(options) {
  check(options.momentum >= 0, "SGD: expects momentum >= 0, got ", options.momentum);
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
        "SGD: nesterov expects momentum > 0 and no dampening, got ", options.momentum, " and ",
        options.dampening);
}

void SGD::update(Bundle& bundle) {
  std::vector<Tensor> none;
  kernels::sgd_step({.lr = bundle.lr,
                     .momentum = options_.momentum,
                     .dampening = options_.dampening,
                     .weight_decay = bundle.weight_decay,
                     .nesterov = options_.nesterov,
                     .first = bundle.step == 1},
                    bundle.grads, bundle.parameters, bundle.buffers.empty() ? none : bundle.buffers[0]);
}

}  // namespace karyon
