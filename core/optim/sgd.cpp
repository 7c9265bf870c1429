#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/sgd.h>

namespace karyon {

SGD::SGD(std::vector<Tensor> parameters, const SGDOptions& options)
    : Optimizer(
          "SGD", std::move(parameters), options.lr,
          options.momentum != 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
      options_(options) {
  check(options.momentum >= 0, "SGD: expects momentum >= 0, got ", options.momentum);
  check(options.weight_decay >= 0, "SGD: expects weight_decay >= 0, got ", options.weight_decay);
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
        "SGD: nesterov expects momentum > 0 and no dampening, got ", options.momentum, " and ",
        options.dampening);
}

void SGD::update(Group& group) {
  std::vector<Tensor> none;
  kernels::sgd_step({.lr = lr(),
                     .momentum = options_.momentum,
                     .dampening = options_.dampening,
                     .weight_decay = options_.weight_decay,
                     .nesterov = options_.nesterov,
                     .first = group.step == 1},
                    group.grads, group.parameters, group.buffers.empty() ? none : group.buffers[0]);
}

}  // namespace karyon
