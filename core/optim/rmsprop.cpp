#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/rmsprop.h>

namespace karyon {
namespace {

std::vector<std::string> buffer_names(const RMSpropOptions& options) {
  std::vector<std::string> names{"square_avg"};
  if (options.centered) names.push_back("grad_avg");
  if (options.momentum != 0) names.push_back("momentum_buffer");
  return names;
}

}  // namespace

RMSprop::RMSprop(std::vector<Tensor> parameters, const RMSpropOptions& options)
    : RMSprop(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

RMSprop::RMSprop(std::vector<ParamGroup> groups, const RMSpropOptions& options)
    : Optimizer("RMSprop", std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
                buffer_names(options)),
      options_(options) {
  check(options.alpha >= 0 && options.alpha <= 1, "RMSprop: expects alpha in [0, 1], got ", options.alpha);
  check(options.eps >= 0, "RMSprop: expects eps >= 0, got ", options.eps);
  check(options.momentum >= 0, "RMSprop: expects momentum >= 0, got ", options.momentum);
}

void RMSprop::update(Bundle& bundle) {
  std::vector<Tensor> none;
  kernels::rmsprop_step({.lr = bundle.lr,
                         .alpha = options_.alpha,
                         .eps = options_.eps,
                         .weight_decay = bundle.weight_decay,
                         .momentum = options_.momentum},
                        bundle.grads, bundle.parameters, bundle.buffers[0],
                        options_.centered ? bundle.buffers[1] : none,
                        options_.momentum != 0 ? bundle.buffers.back() : none);
}

}  // namespace karyon
