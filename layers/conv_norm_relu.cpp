#include <tuple>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/conv_norm_relu.h>

namespace karyon {

bool can_fuse(const Conv2d& conv, const BatchNorm2d* norm) {
  if (grad_enabled() || CallObserver::current() != nullptr) return false;
  return !norm || (!norm->is_training() && norm->running_mean.numel() == conv.weight.size(0));
}

Tensor fused_conv_norm_relu(const Conv2d& conv, const BatchNorm2d* norm, bool relu,
                            const std::vector<Tensor>& inputs) {
  Tensor scale, shift = conv.bias;
  if (norm) {
    std::tie(scale, shift) =
        batch_norm_affine(norm->weight, norm->bias, norm->running_mean, norm->running_var, norm->options.eps);
    if (conv.bias.defined()) shift = shift + scale * conv.bias;
    relu = relu || norm->options.relu;
  }
  return conv2d_affine(
      inputs, conv.weight, scale, shift,
      {.conv = conv.options, .activation = relu ? ActivationKind::relu : ActivationKind::none});
}

Tensor conv_norm_relu(Conv2d& conv, Module* norm, std::vector<Tensor> inputs) {
  const auto* batch = dynamic_cast<const BatchNorm2d*>(norm);
  if ((!norm || batch) && can_fuse(conv, batch)) return fused_conv_norm_relu(conv, batch, !norm, inputs);
  Tensor x = inputs.size() == 1 ? std::move(inputs[0]) : cat(inputs, -1);
  inputs.clear();
  x = conv(std::move(x));
  return norm ? (*norm)(std::move(x)) : relu(x);
}

}  // namespace karyon
