#include <typeinfo>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/conv_norm_activation.h>
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

namespace {

bool can_fuse(const Tensor& x, const Tensor& weight) {
  return !grad_enabled() && x.device() == Device::cpu() && x.dtype() == weight.dtype() &&
         (x.dtype() == f32 || x.dtype() == bf16) && weight.dim() == 2 && x.dim() >= 2 && x.numel() > 0 &&
         x.size(-1) == weight.size(1);
}

Tensor with_last_steps(Tensor y, ActivationKind activation, const Tensor& scale, const Tensor& residual) {
  if (scale.defined()) y = y * scale;
  if (residual.defined()) y = y + residual;
  return activate(y, activation);
}

}  // namespace

bool can_fuse(const Linear& linear, const Tensor& x) {
  return CallObserver::current() == nullptr && typeid(linear) == typeid(Linear) && can_fuse(x, linear.weight);
}

Tensor linear_activation(Linear& linear, ActivationKind activation, Tensor x, const Tensor& scale,
                         const Tensor& residual) {
  if (can_fuse(linear, x))
    return linear_activation(x, linear.weight, linear.bias, activation, scale, residual);
  return with_last_steps(linear(std::move(x)), activation, scale, residual);
}

Tensor linear_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, ActivationKind activation,
                         const Tensor& scale, const Tensor& residual) {
  const DType result = x.dtype() == f32 ? autocast_dtype() : x.dtype();
  if (!can_fuse(x, weight) || (residual.defined() && residual.dtype() != result))
    return with_last_steps(linear(x, weight, bias), activation, scale, residual);
  Shape shape = x.shape();
  const std::int64_t in = weight.size(1), out = weight.size(0), rows = x.numel() / in;
  shape[x.dim() - 1] = out;
  const Tensor shift = scale.defined() && bias.defined() ? bias * scale : bias;
  Conv2dAffineOptions options{.activation = activation};
  if (residual.defined()) {
    check(residual.shape() == shape, "linear_activation: expects a residual ", shape, ", got ",
          residual.shape());
    options.residual = residual.reshape({rows, 1, 1, out});
  }
  return conv2d_affine(x.reshape({rows, 1, 1, in}), weight.reshape({out, 1, 1, in}), scale, shift, options)
      .reshape(shape);
}

}  // namespace karyon
