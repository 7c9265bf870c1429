#include <karyon/layers/init.h>
#include <karyon/layers/linear.h>

namespace karyon {

Linear::Linear(std::int64_t in_features, std::int64_t out_features, const Options& options) {
  check(in_features >= 1 && out_features >= 1, "Linear: expects at least 1 feature, got ", in_features,
        " in and ", out_features, " out");
  weight = empty({out_features, in_features});
  if (options.bias) bias = empty({out_features});
  default_init_(weight, bias, generator_or_default(options.generator));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor Linear::forward(Tensor x) { return linear(x, weight, bias); }

std::int64_t Linear::multiply_adds(const Shape&, const Shape& output) const {
  return output.numel() * weight.size(1);
}

std::unique_ptr<Module> Linear::rebuilt() const {
  return std::make_unique<Linear>(weight.size(1), weight.size(0), Options{.bias = bias.defined()});
}

}  // namespace karyon
