#include <typeinfo>

#include <karyon/layers/activation.h>
#include <karyon/layers/conv_norm_relu.h>
#include <karyon/layers/sequential.h>

namespace karyon {
namespace {

// The module as an M if that is its very type: a derived one may compute something else.
template <class M>
const M* exactly(const Module& module) {
  return typeid(module) == typeid(M) ? static_cast<const M*>(&module) : nullptr;
}

}  // namespace

Tensor Sequential::forward(Tensor x) {
  for (std::size_t i = 0; i < size();) {
    Module& first = (*this)[i++];
    const Conv2d* const conv = exactly<Conv2d>(first);
    const BatchNorm2d* const norm = conv && i < size() ? exactly<BatchNorm2d>((*this)[i]) : nullptr;
    const std::size_t next = i + (norm ? 1 : 0);
    const bool relu = conv && next < size() && exactly<ReLU>((*this)[next]);
    if ((norm || relu) && can_fuse(*conv, norm)) {
      std::vector<Tensor> inputs(1);
      inputs[0] = std::move(x);
      x = fused_conv_norm_relu(*conv, norm, relu, inputs);
      i = next + (relu ? 1 : 0);
    } else {
      x = first(std::move(x));
    }
  }
  return x;
}

std::unique_ptr<Module> Sequential::rebuilt() const {
  auto list = std::make_unique<Sequential>();
  list->add_rebuilt(*this);
  return list;
}

}  // namespace karyon
