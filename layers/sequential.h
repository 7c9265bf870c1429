#pragma once
#include <karyon/layers/module_list.h>

namespace karyon {

/// Modules one after another, named "0", "1", ..., as torch.nn.Sequential.
///
///     Sequential net;
///     net.add<Conv2d>(3, 16, 3, {.padding = 1});
///     net.add<ReLU>();
///     net.add(std::move(built));  // a std::unique_ptr to a module
///
/// Where no gradient is recorded, a Conv2d and a BatchNorm2d in evaluation, a ReLU or both after it are one
/// pass over memory. The result is the same within rounding.
struct Sequential : ModuleList<Module> {
  Tensor forward(Tensor x) override;
};

}  // namespace karyon
