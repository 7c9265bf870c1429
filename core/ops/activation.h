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
enum class GeluApproximate { none, tanh };
struct GeluOptions {
  GeluApproximate approximate = GeluApproximate::none;
};
/// x Phi(x), with the normal distribution function (Hendrycks and Gimpel, 2016) or
/// (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 in its place.
Tensor gelu(const Tensor& x);
Tensor gelu(const Tensor& x, const GeluOptions& options);

/// x limited to [low, high]; NaN stays. Unlike clamp's, the gradient on the limits is 0. Throws Error unless
/// low <= high.
Tensor hardtanh(const Tensor& x, double low = -1, double high = 1);
/// hardtanh from 0 to 6.
Tensor relu6(const Tensor& x);
/// relu6(x + 3) / 6, and x times that (Howard et al., 2019).
Tensor hardsigmoid(const Tensor& x);
Tensor hardswish(const Tensor& x);

/// x where x > 0, alpha (exp(x) - 1) elsewhere (Clevert et al., 2016).
Tensor elu(const Tensor& x, double alpha = 1);
/// max(x, 0) + min(alpha (exp(x / alpha) - 1), 0): elu whose gradient has no jump (Barron, 2017). Throws
/// Error if alpha is 0.
Tensor celu(const Tensor& x, double alpha = 1);
/// elu, scaled so that outputs keep mean 0 and variance 1 (Klambauer et al., 2017).
Tensor selu(const Tensor& x);
/// x tanh(softplus(x)) (Misra, 2019).
Tensor mish(const Tensor& x);
/// log(sigmoid(x)), without overflow.
Tensor logsigmoid(const Tensor& x);
/// x / (1 + |x|).
Tensor softsign(const Tensor& x);

/// x where x > 0, weight x elsewhere (He et al., 2015).
///   weight  a scalar, [1], or [C]: of each channel, the last dimension of x; x's dtype, f32 beside bf16
/// Differentiable in x and weight. Throws Error for other shapes.
Tensor prelu(const Tensor& x, const Tensor& weight);
/// a sigmoid(b), where a and b are the halves of x along `dim` (Dauphin et al., 2017). Returns x's shape with
/// half the size there. Throws Error if it is odd.
Tensor glu(const Tensor& x, int dim = -1);

}  // namespace karyon
