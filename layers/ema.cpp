#include <map>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/layers/ema.h>

namespace karyon {

void lerp_state_(Module& average, const Module& model, double weight) {
  check(weight >= 0 && weight <= 1, "lerp_state_: weight expects 0 to 1, got ", weight);
  const NoGradGuard no_grad;
  StateDict to = average.state_dict(), from = model.state_dict();
  check(to.size() == from.size(), "lerp_state_: ", to.size(), " tensors in one module, ", from.size(),
        " in the other");
  struct Pairs {
    std::vector<Tensor> from, to;
  };
  std::map<DType, Pairs> pairs;
  for (auto& [name, tensor] : to) {
    const auto found = from.find(name);
    check(found != from.end() && found->second.shape() == tensor.shape(), "lerp_state_: ", name, " of shape ",
          tensor.shape(), " is not in the other module");
    if (weight == 1 || !is_floating(tensor.dtype())) {
      tensor.copy_(found->second);
      continue;
    }
    check(found->second.dtype() == tensor.dtype(), "lerp_state_: ", name, " is ", tensor.dtype(),
          " in one module, ", found->second.dtype(), " in the other");
    tensor.before_write();
    pairs[tensor.dtype()].from.push_back(found->second);
    pairs[tensor.dtype()].to.push_back(tensor);
  }
  for (auto& [dtype, all] : pairs) kernels::lerp_all(weight, all.from, all.to);
}

}  // namespace karyon
