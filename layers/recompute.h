#pragma once
#include <functional>
#include <vector>

#include <karyon/layers/module.h>

// Memory for time, as torch.utils.checkpoint (Chen et al., 2016, "Training deep nets with sublinear memory
// cost"): backward computes a part of the network again instead of keeping what it made. Saved states of a
// training are something else: layers/checkpoint.h.
namespace karyon {

/// module(x), of which only x is kept for backward(). The gradients have the same bits as without.
///   module   must outlive backward(); it gives the same for the same input each time
///   returns  its result
/// Random numbers of default_generator(), so those of dropout, and the autocast type are the same the second
/// time; other generators draw anew. Running statistics move once. Throws Error in backward() if x or a
/// parameter was changed in place since.
Tensor checkpoint(Module& module, const Tensor& x);

struct RecomputeOptions {
  std::vector<Tensor> parameters = {};  ///< leaves beside the inputs that f uses: they get gradients, too
  std::vector<Tensor> buffers = {};     ///< what f changes, running statistics say: it changes once
};
/// The same for a function of several inputs:
///
///     y = checkpoint([&](const std::vector<Tensor>& in) { return block.forward(in[0], in[1]); }, {x, skip},
///                    {.parameters = block.parameters()});
///
/// Throws Error if f uses a leaf that requires a gradient and is neither an input nor a parameter.
Tensor checkpoint(std::function<Tensor(const std::vector<Tensor>& inputs)> f,
                  const std::vector<Tensor>& inputs, const RecomputeOptions& options = {});

}  // namespace karyon
