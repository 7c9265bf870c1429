#pragma once
#include <karyon/layers/functional.h>
#include <karyon/layers/module_list.h>

namespace karyon {

/// Modules one after another, named "0", "1", ..., as torch.nn.Sequential.
///
///     Sequential net;
///     net.add<Conv2d>(3, 16, 3, {.padding = 1});
///     net.add<ReLU>();
///     net.add([](Tensor x) { return x * 0.5; });
///     net.add(std::move(built));  // a std::unique_ptr to a module
///
/// Where no gradient is recorded, a Conv2d and a BatchNorm2d in evaluation, an activation or both after it
/// are one pass over memory. The activations are ReLU, ReLU6, SiLU and Hardswish. The result is the same
/// within rounding.
struct Sequential : ModuleList<Module> {
  using ModuleList::add;
  /// Puts a function at the end.
  Functional& add(std::function<Tensor(Tensor)> function) {
    return add(std::make_unique<Functional>(std::move(function)));
  }
  Tensor forward(Tensor x) override;
  /// forward(x) + residual, which a convolution at the end adds in its last step.
  Tensor forward(Tensor x, const Tensor& residual);
  std::unique_ptr<Module> rebuilt() const override;
};

}  // namespace karyon
