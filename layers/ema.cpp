#include <karyon/core/autograd.h>
#include <karyon/core/optim/foreach.h>
#include <karyon/layers/ema.h>

namespace karyon {

void lerp_state_(Module& average, const Module& model, double weight) {
  check(weight >= 0 && weight <= 1, "lerp_state_: weight expects 0 to 1, got ", weight);
  const NoGradGuard no_grad;
  StateDict to = average.state_dict(), from = model.state_dict();
  check(to.size() == from.size(), "lerp_state_: ", to.size(), " tensors in one module, ", from.size(),
        " in the other");
  std::vector<Tensor> followers, leaders;
  for (auto& [name, tensor] : to) {
    const auto found = from.find(name);
    check(found != from.end() && found->second.shape() == tensor.shape(), "lerp_state_: ", name, " of shape ",
          tensor.shape(), " is not in the other module");
    if (weight == 1 || !is_floating(tensor.dtype())) {
      tensor.copy_(found->second);
    } else {
      followers.push_back(tensor);
      leaders.push_back(found->second);
    }
  }
  foreach_lerp_(followers, leaders, weight);
}

}  // namespace karyon
