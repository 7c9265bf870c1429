#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

enum class Activation { relu, leaky_relu, sigmoid, tanh, softplus, silu, gelu };
/// y = op(x), with the numbers p and q that some activations take. f32, f64, bf16.
extern Kernel<void(Activation op, double p, double q, const Tensor& x, Tensor& y)> activation;
/// dx = dy op'(.), given the tensor that the formula needs: y for relu, sigmoid and tanh, x for the rest.
/// leaky_relu takes x, or y if the slope is not negative.
extern Kernel<void(Activation op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx)>
    activation_backward;

}  // namespace karyon::kernels
