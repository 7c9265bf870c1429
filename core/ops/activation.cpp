#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>

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
Tensor gelu(const Tensor& x) { return gelu(x, {}); }
Tensor gelu(const Tensor& x, const GeluOptions& options) {
  const bool exact = options.approximate == GeluApproximate::none;
  return activate("gelu", exact ? Activation::gelu : Activation::gelu_tanh, Keep::input, x);
}

Tensor hardtanh(const Tensor& x, double low, double high) {
  check(low <= high, "hardtanh: expects low <= high, got ", low, " and ", high);
  return activate("hardtanh", Activation::hardtanh, Keep::input, x, low, high);
}
Tensor relu6(const Tensor& x) { return activate("relu6", Activation::hardtanh, Keep::input, x, 0, 6); }
Tensor hardsigmoid(const Tensor& x) {
  return activate("hardsigmoid", Activation::hardsigmoid, Keep::input, x);
}
Tensor hardswish(const Tensor& x) { return activate("hardswish", Activation::hardswish, Keep::input, x); }
Tensor elu(const Tensor& x, double alpha) { return activate("elu", Activation::elu, Keep::input, x, alpha); }
Tensor celu(const Tensor& x, double alpha) {
  check(alpha != 0, "celu: expects an alpha other than 0");
  return activate("celu", Activation::celu, Keep::input, x, alpha);
}
Tensor selu(const Tensor& x) { return activate("selu", Activation::selu, Keep::input, x); }
Tensor mish(const Tensor& x) { return activate("mish", Activation::mish, Keep::input, x); }
Tensor logsigmoid(const Tensor& x) { return activate("logsigmoid", Activation::logsigmoid, Keep::input, x); }
Tensor softsign(const Tensor& x) { return activate("softsign", Activation::softsign, Keep::input, x); }

Tensor prelu(const Tensor& x, const Tensor& weight) {
  check(is_floating(x.dtype()), "prelu: expects f32, f64 or bf16, got ", x.dtype());
  const Tensor w = beside(x, weight);
  check(w.dtype() == parameter_dtype(x.dtype()), "prelu: expects a weight of ", parameter_dtype(x.dtype()),
        ", got ", w.dtype());
  check(w.numel() == 1 ? w.dim() <= 1 : w.dim() == 1 && x.dim() >= 1 && w.size(0) == x.size(-1),
        "prelu: expects a weight of 1 element or one for each channel of ", x.shape(), ", got ", w.shape());
  const Tensor slope = w.numel() == 1 ? view(w, {}) : w;  // x may be a scalar
  Tensor y = empty_like(x);
  kernels::prelu(x, slope, y);
  return record("prelu", y, {x, w},
                [x_grad = x.requires_grad(), w_grad = w.requires_grad(), shape = w.shape(),
                 x = SavedTensor(x), slope = SavedTensor(slope)](const Tensor& dy) {
                  Tensor dx, dw;
                  if (x_grad) {
                    dx = empty_like(dy);
                    kernels::prelu_backward(dy, x.get(), slope.get(), dx);
                  }
                  if (w_grad) {
                    Tensor terms = empty(dy.shape(), {.dtype = slope.get().dtype(), .device = dy.device()});
                    kernels::prelu_weight_backward(dy, x.get(), terms);
                    dw = sum_to(terms, slope.get().shape()).reshape(shape);
                  }
                  return std::vector{dx, dw};
                });
}

Tensor glu(const Tensor& x, int dim) {
  check(is_floating(x.dtype()), "glu: expects f32, f64 or bf16, got ", x.dtype());
  check(x.dim() >= 1, "glu: expects at least 1 dimension, got ", x.shape());
  const int d = normalize_dim(dim, x.dim(), "glu");
  check(x.size(d) % 2 == 0, "glu: expects an even size in dimension ", dim, ", got ", x.shape());
  Shape shape = x.shape();
  shape[d] /= 2;
  std::int64_t half = 1;
  for (int i = d; i < shape.dims(); ++i) half *= shape[i];
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  kernels::glu(x, half, y);
  return record("glu", y, {x}, [half, x = SavedTensor(x)](const Tensor& dy) {
    Tensor dx = empty_like(x.get());
    kernels::glu_backward(dy, x.get(), half, dx);
    return std::vector{dx};
  });
}

}  // namespace karyon
