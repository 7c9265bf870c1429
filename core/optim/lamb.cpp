#include <cmath>

#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/lamb.h>

namespace karyon {
namespace {

std::vector<double> norms(const std::vector<Tensor>& tensors) {
  Tensor squares =
      empty({static_cast<std::int64_t>(tensors.size())}, {.dtype = f64, .device = tensors[0].device()});
  kernels::sum_of_squares(tensors, squares);
  std::vector<double> out = squares.to_vector<double>();
  for (double& norm : out) norm = std::sqrt(norm);
  return out;
}

}  // namespace

LAMB::LAMB(std::vector<Tensor> parameters, const LAMBOptions& options)
    : LAMB(std::vector<ParamGroup>{{.params = std::move(parameters)}}, options) {}

LAMB::LAMB(std::vector<ParamGroup> groups, const LAMBOptions& options)
    : Optimizer("LAMB", std::move(groups), {.lr = options.lr, .weight_decay = options.weight_decay},
                {"exp_avg", "exp_avg_sq"}),
      options_(options) {
  for (const double beta : {options.beta1, options.beta2})
    check(beta >= 0 && beta < 1, "LAMB: expects betas in [0, 1), got ", beta);
  check(options.eps >= 0, "LAMB: expects eps >= 0, got ", options.eps);
}

void LAMB::update(Bundle& bundle) {
  const auto t = static_cast<double>(bundle.step);
  std::vector<Tensor> directions;
  for (const Tensor& p : bundle.parameters) directions.push_back(empty_like(p));
  kernels::lamb_direction({.lr = bundle.lr,
                           .beta1 = options_.beta1,
                           .beta2 = options_.beta2,
                           .eps = options_.eps,
                           .weight_decay = bundle.weight_decay,
                           .correction1 = 1 - std::pow(options_.beta1, t),
                           .correction2 = 1 - std::pow(options_.beta2, t),
                           .decoupled = true},
                          bundle.grads, bundle.parameters, bundle.buffers[0], bundle.buffers[1], directions);
  const std::vector<double> own = norms(bundle.parameters), moved = norms(directions);
  for (std::size_t i = 0; i < directions.size(); ++i) {
    const double trust = own[i] > 0 && moved[i] > 0 ? own[i] / moved[i] : 1;
    bundle.parameters[i].add_(directions[i], -bundle.lr * trust);
  }
}

}  // namespace karyon
