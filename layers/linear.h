#pragma once
#include <karyon/core/ops/matmul.h>
#include <karyon/layers/module.h>

namespace karyon {

/// linear with weights of its own, initialised as PyTorch's: [..., in] -> [..., out].
struct Linear : Module {
  Linear(std::int64_t in_features, std::int64_t out_features, bool with_bias = true);
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;

  Tensor weight;  ///< [out, in]
  Tensor bias;    ///< [out] or undefined
};

}  // namespace karyon
