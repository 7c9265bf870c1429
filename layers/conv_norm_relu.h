#pragma once
#include <vector>

#include <karyon/layers/conv.h>
#include <karyon/layers/norm.h>

// A convolution and what follows it at inference, in one pass over memory.
namespace karyon {

/// A convolution, a norm and a ReLU. It is one pass over memory where may_fuse() holds and the norm is none
/// or a batch norm in evaluation; otherwise it calls the layers one by one.
///   norm    has the ReLU among its options, or is null: then the ReLU follows the convolution
///   inputs  images [N, H, W, C_i], whose channels stand side by side as cat(inputs, -1) would join them
///   returns as conv2d
Tensor conv_norm_relu(Conv2d& conv, Module* norm, std::vector<Tensor> inputs);

/// Whether layers may be computed together on this thread now: no gradient is recorded and no CallObserver
/// wants to see them.
bool may_fuse();
/// Whether `norm` can be computed with `conv`: it is in evaluation and has the same channels.
bool fits(const Conv2d& conv, const BatchNorm2d& norm);
/// One pass over memory for conv, a norm that fits (or null), and a ReLU if `relu` or the norm says so.
Tensor fused_conv_norm_relu(const Conv2d& conv, const BatchNorm2d* norm, bool relu,
                            const std::vector<Tensor>& inputs);

}  // namespace karyon
