#include <typeinfo>

#include <karyon/core/ops/elementwise.h>
#include <karyon/layers/blocks.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/sequential.h>

namespace karyon {
namespace {

// The module as an M if that is its very type: a derived one may compute something else.
template <class M>
const M* exactly(const Module& module) {
  return typeid(module) == typeid(M) ? static_cast<const M*>(&module) : nullptr;
}

// A sequence whose forward is the one below.
bool runs_in_order(const Module& module) {
  return exactly<Sequential>(module) || exactly<ConvNormActivation>(module);
}

}  // namespace

Tensor Sequential::forward(Tensor x) { return forward(std::move(x), Tensor()); }

Tensor Sequential::forward(Tensor x, const Tensor& residual) {
  bool added = !residual.defined();
  for (std::size_t i = 0; i < size();) {
    Module& first = (*this)[i++];
    const Conv2d* const conv = exactly<Conv2d>(first);
    ConvTail tail;
    std::size_t next = i;
    if (conv && next < size()) tail.norm = exactly<BatchNorm2d>((*this)[next]);
    if (tail.norm) ++next;
    if (conv && next < size() && is_activation((*this)[next], tail.activation)) ++next;
    auto* const linear = dynamic_cast<Linear*>(&first);
    if (linear && next < size() && can_fuse(*linear, x) && is_activation((*this)[next], tail.activation)) {
      x = linear_activation(*linear, tail.activation, std::move(x));
      i = next + 1;
      continue;
    }
    const bool last = !added && next == size() && tail.activation == ActivationKind::none;
    if (last) tail.residual = residual;
    if (conv && (next > i || last) && can_fuse(*conv, tail, x.dtype())) {
      std::vector<Tensor> inputs(1);
      inputs[0] = std::move(x);
      x = fused_conv(*conv, tail, inputs);
      added |= last;
      i = next;
    } else if (!added && i == size() && runs_in_order(first)) {
      return static_cast<Sequential&>(first).forward(std::move(x), residual);
    } else {
      x = first(std::move(x));
    }
  }
  return added ? x : x + residual;
}

std::unique_ptr<Module> Sequential::rebuilt() const {
  auto list = std::make_unique<Sequential>();
  list->add_rebuilt(*this);
  return list;
}

}  // namespace karyon
