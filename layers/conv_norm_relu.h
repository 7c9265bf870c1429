#pragma once
#include <vector>

#include <karyon/layers/conv.h>
#include <karyon/layers/norm.h>

// A convolution and what follows it at inference, in one pass over memory.
namespace karyon {

/// A convolution, a norm and a ReLU. It is one pass over memory if can_fuse() holds, otherwise the layers one
/// by one.
///   norm    has the ReLU among its options, or is null: then the ReLU follows the convolution
///   inputs  images [N, H, W, C_i], whose channels stand side by side as cat(inputs, -1) would join them
///   returns as conv2d
Tensor conv_norm_relu(Conv2d& conv, Module* norm, std::vector<Tensor> inputs);

/// Whether conv and norm (or null) may be computed in one pass now. That takes no recording, no CallObserver
/// that watches the layers, and a norm in evaluation with conv's channels.
bool can_fuse(const Conv2d& conv, const BatchNorm2d* norm);
/// One pass over memory for conv, norm (or null), and a ReLU if `relu` or the norm's options say so.
Tensor fused_conv_norm_relu(const Conv2d& conv, const BatchNorm2d* norm, bool relu,
                            const std::vector<Tensor>& inputs);

}  // namespace karyon
