#pragma once
#include <karyon/core/tensor.h>

// Activations: element by element, any shape, f32, f64 or bf16 (computed in f32); return x's shape and
// dtype; differentiable in x.
namespace karyon {

/// max(x, 0); NaN stays. The gradient at 0 is 0, that at NaN 1.
Tensor relu(const Tensor& x);
/// x where x > 0, negative_slope * x elsewhere.
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
/// 1 / (1 + exp(-x)), without overflow.
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);

struct SoftplusOptions {
  double beta = 1;
  double threshold = 20;
};
/// log(1 + exp(beta x)) / beta; x itself where beta x > threshold. Throws Error if beta is 0.
Tensor softplus(const Tensor& x, const SoftplusOptions& options = {});

/// x sigmoid(x) (Elfwing et al., 2018).
Tensor silu(const Tensor& x);
/// x Phi(x) with the exact normal distribution function (Hendrycks and Gimpel, 2016).
Tensor gelu(const Tensor& x);

}  // namespace karyon
