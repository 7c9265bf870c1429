#pragma once
#include <memory>
#include <vector>

#include <karyon/layers/conv.h>
#include <karyon/layers/norm.h>

// A convolution and what follows it at inference, in one pass over memory.
namespace karyon {

/// x through the activation.
Tensor activate(const Tensor& x, ActivationKind activation);
/// The activation as a module: ReLU, ReLU6, SiLU, Hardswish or GELU; Identity for none.
std::unique_ptr<Module> make_activation(ActivationKind activation);
/// Which of them the module is, if it is one.
bool is_activation(const Module& module, ActivationKind& activation);

/// activation(norm(conv(x)) + residual). It is one pass over memory if can_fuse() holds, otherwise the layers
/// one by one.
///   norm      a module that follows the convolution, or null; its options may have a ReLU
///   inputs    images [N, H, W, C_i], whose channels stand side by side as cat(inputs, -1) would join them
///   residual  of the result's shape, or undefined
///   returns   as conv2d
Tensor conv_norm_activation(Conv2d& conv, Module* norm, ActivationKind activation, std::vector<Tensor> inputs,
                            const Tensor& residual = {});
Tensor conv_norm_activation(Conv2d& conv, Module* norm, ActivationKind activation, Tensor x,
                            const Tensor& residual = {});

/// What follows a convolution.
struct ConvTail {
  const BatchNorm2d* norm = nullptr;
  ActivationKind activation = ActivationKind::none;
  Tensor residual = {};
};
/// Whether conv and its tail may be computed in one pass now. That takes no recording, no CallObserver that
/// watches the layers, and a norm in evaluation with conv's channels. A residual has the dtype of the result,
/// and a norm before it has no ReLU of its own.
bool can_fuse(const Conv2d& conv, const ConvTail& tail, DType input);
/// One pass over memory for conv and its tail.
Tensor fused_conv(const Conv2d& conv, const ConvTail& tail, const std::vector<Tensor>& inputs);
/// The calls of fused_conv() on this thread so far, for tests.
std::int64_t fused_conv_calls();

}  // namespace karyon
