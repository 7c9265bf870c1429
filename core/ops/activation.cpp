#include <karyon/core/autograd.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/ops/activation.h>

namespace karyon {
namespace {

using kernels::Activation;
enum class Keep { input, output };

// The tensor that the gradient is computed from. It is the output where possible, so that the input can be
// freed in forward.
Tensor activate(const char* name, Activation op, Keep keep, const Tensor& x, double p = 0, double q = 0) {
  check(is_floating(x.dtype()), name, ": expects f32, f64 or bf16, got ", x.dtype());
  Tensor y = empty_like(x);
  kernels::activation(op, p, q, x, y);
  return record(name, y, {x}, [op, p, q, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
    Tensor dx = empty_like(dy);
    kernels::activation_backward(op, p, q, dy, saved.get(), dx);
    return std::vector{dx};
  });
}

}  // namespace

Tensor relu(const Tensor& x) { return activate("relu", Activation::relu, Keep::output, x); }
Tensor leaky_relu(const Tensor& x, double negative_slope) {
  const Keep keep = negative_slope >= 0 ? Keep::output : Keep::input;
  return activate("leaky_relu", Activation::leaky_relu, keep, x, negative_slope);
}
Tensor sigmoid(const Tensor& x) { return activate("sigmoid", Activation::sigmoid, Keep::output, x); }
Tensor tanh(const Tensor& x) { return activate("tanh", Activation::tanh, Keep::output, x); }
Tensor softplus(const Tensor& x, const SoftplusOptions& options) {
  check(options.beta != 0, "softplus: expects a beta other than 0");
  return activate("softplus", Activation::softplus, Keep::input, x, options.beta, options.threshold);
}
Tensor silu(const Tensor& x) { return activate("silu", Activation::silu, Keep::input, x); }
Tensor gelu(const Tensor& x) { return activate("gelu", Activation::gelu, Keep::input, x); }

}  // namespace karyon
