#pragma once
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct LinearLayerOptions {
  bool bias = true;                ///< has a bias
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// linear with weights of its own, initialised as PyTorch's: [..., in_features] -> [..., out_features].
struct Linear : Module {
  using Options = LinearLayerOptions;

  Linear(std::int64_t in_features, std::int64_t out_features, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  Tensor weight;  ///< [out_features, in_features]
  Tensor bias;    ///< [out_features] or undefined
};

/// Whether linear(x) and what follows may be computed in one pass now: on the CPU, in f32 or bf16 (convolutions of
/// f64 are slow), without recording and without a CallObserver that watches the layers.
bool can_fuse(const Linear& linear, const Tensor& x);
/// activation(scale linear(x) + residual): one pass over memory if can_fuse() holds, otherwise the steps one by
/// one.
///   scale     [out_features], or undefined for 1
///   residual  of the result's shape, or undefined
///   returns   as Linear
Tensor linear_activation(Linear& linear, ActivationKind activation, Tensor x, const Tensor& scale = {},
                         const Tensor& residual = {});
/// The same by the weight [out, in] and the bias [out], or none.
Tensor linear_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, ActivationKind activation,
                         const Tensor& scale = {}, const Tensor& residual = {});

}  // namespace karyon
