#include <karyon/core/autograd.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/foreach.h>

#include <map>
#include <utility>

namespace karyon {

void foreach_lerp_(const std::vector<Tensor>& to, const std::vector<Tensor>& from, double weight) {
  check(to.size() == from.size(), "foreach_lerp_: expects as many tensors, got ", to.size(), " and ",
        from.size());
  const NoGradGuard no_grad;
  struct Pairs {
    std::vector<Tensor> from, to;
  };
  std::map<std::pair<DType, DeviceType>, Pairs> alike;
  for (std::size_t i = 0; i < to.size(); ++i) {
    Tensor x = to[i];
    check(x.shape() == from[i].shape() && x.dtype() == from[i].dtype() && x.device() == from[i].device() &&
              (x.dtype() == f32 || x.dtype() == f64),
          "foreach_lerp_: expects f32 or f64 of one shape and device, got ", x.dtype(), x.shape(), " on ",
          x.device(), " and ", from[i].dtype(), from[i].shape(), " on ", from[i].device());
    x.before_write();
    Pairs& pairs = alike[{x.dtype(), x.device().type}];
    pairs.from.push_back(from[i]);
    pairs.to.push_back(x);
  }
  for (auto& [kind, pairs] : alike) kernels::lerp_all(weight, pairs.from, pairs.to);
}

}  // namespace karyon
