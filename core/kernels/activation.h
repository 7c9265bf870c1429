#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

enum class Activation {
  relu,
  leaky_relu,
  sigmoid,
  tanh,
  softplus,
  silu,
  gelu,
  gelu_tanh,
  hardtanh,
  hardswish,
  hardsigmoid,
  elu,
  celu,
  selu,
  mish,
  logsigmoid,
  softsign
};
/// y = op(x), with the numbers p and q that some activations take. f32, f64, bf16.
extern Kernel<void(Activation op, double p, double q, const Tensor& x, Tensor& y)> activation;
/// dx = dy op'(.), given the tensor that the formula needs: y for relu, sigmoid and tanh, x for the rest.
/// leaky_relu takes x, or y if the slope is not negative.
extern Kernel<void(Activation op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx)>
    activation_backward;

/// y = x where x > 0, weight x elsewhere; weight is broadcast. f32, f64; bf16 with a weight of f32.
extern Kernel<void(const Tensor& x, const Tensor& weight, Tensor& y)> prelu;
/// dx = dy d y / d x, and dw = dy d y / d weight in dy's shape (not yet summed back to the weight's); dw has
/// the weight's dtype.
extern Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& weight, Tensor& dx)> prelu_backward;
extern Kernel<void(const Tensor& dy, const Tensor& x, Tensor& dw)> prelu_weight_backward;

/// y = a sigmoid(b), where x is rows of `half` values of a and `half` of b. f32, f64, bf16.
extern Kernel<void(const Tensor& x, std::int64_t half, Tensor& y)> glu;
extern Kernel<void(const Tensor& dy, const Tensor& x, std::int64_t half, Tensor& dx)> glu_backward;

}  // namespace karyon::kernels
