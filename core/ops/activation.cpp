#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/functors/activation.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/trace.h>
#include <numbers>

namespace karyon {
namespace {

using kernels::Activation;
enum class Keep { input, output };

// The derivative of x sigmoid(u) in x, for u of slope `du`.
Tensor gated_slope(const Tensor& x, const Tensor& u, const Tensor& du) {
  const Tensor s = sigmoid(u);
  return add(s, mul(mul(x, mul(s, 1 - s)), du));
}

// alpha scale e^(rate x) below 0, scale above.
Tensor elu_slope(const Tensor& x, double alpha, double scale, double rate) {
  const TensorOptions like{.dtype = parameter_dtype(x.dtype()), .device = x.device()};
  const Tensor low = where(lt(x, 0), x, full({}, 0, like));
  return where(gt(x, 0), full({}, scale, like), exp(low * rate) * (alpha * scale * rate));
}

// The derivative at what was saved, x or y, as a composition.
Tensor slope(Activation op, double p, double q, const Tensor& at) {
  constexpr double sqrt_half = std::numbers::sqrt2 / 2;
  const TensorOptions like{.dtype = at.dtype(), .device = at.device()};
  const auto number = [&](double value) { return full({}, value, like); };
  switch (op) {
    case Activation::sigmoid: return mul(at, 1 - at);
    case Activation::tanh: return 1 - square(at);
    case Activation::softplus: return where(gt(at * p, q), number(1), sigmoid(at * p));
    case Activation::silu: return gated_slope(at, at, number(1));
    case Activation::gelu: {
      const Tensor density = exp(square(at) * -0.5) * (sqrt_half * std::numbers::inv_sqrtpi);
      return add((erf(at * sqrt_half) + 1) * 0.5, mul(at, density));
    }
    case Activation::gelu_tanh: {
      const double scale = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi, cubic = 0.044715;
      const Tensor squares = square(at) * cubic;
      return gated_slope(at, mul(at, squares + 1) * scale, (squares * 3 + 1) * scale);
    }
    case Activation::hardswish:
      return where(le(at, -3), number(0), where(lt(at, 3), at / 3 + 0.5, number(1)));
    case Activation::elu: return elu_slope(at, p, 1, 1);
    case Activation::celu: return elu_slope(at, p, 1, 1 / p);
    case Activation::selu: return elu_slope(at, functors::selu_alpha, functors::selu_scale, 1);
    case Activation::mish: {
      const Tensor gate = tanh(neg(logsigmoid(neg(at))));
      return add(gate, mul(mul(at, sigmoid(at)), 1 - square(gate)));
    }
    case Activation::logsigmoid: return sigmoid(neg(at));
    case Activation::softsign: return reciprocal(square(abs(at) + 1));
    case Activation::relu:
    case Activation::leaky_relu:
    case Activation::hardtanh:
    case Activation::hardsigmoid: break;
  }
  Tensor constant = empty_like(at);  // in each piece
  kernels::activation_backward(op, p, q, ones_like(at), at, constant);
  return constant;
}

// The tensor that the gradient is computed from. It is the output where possible, so that the input can be
// freed in forward.
Tensor activate(const char* name, Activation op, Keep keep, const Tensor& x, double p = 0, double q = 0) {
  check(is_floating(x.dtype()), name, ": expects f32, f64 or bf16, got ", x.dtype());
  if (x.dtype() == f16)
    return in_kernel_dtype(x, [&](const Tensor& wide) { return activate(name, op, keep, wide, p, q); });
  Tensor y = empty_like(x);
  kernels::activation(op, p, q, x, y);
  y = record(name, y, {x}, twice_differentiable,
             [name, op, p, q, saved = SavedTensor(keep == Keep::input ? x : y)](const Tensor& dy) {
               const Tensor from = saved.get();
               Tensor dx = empty_like(dy);
               kernels::activation_backward(op, p, q, dy, from, dx);
               return std::vector{record_as(name, dx, {dy, from}, [op, p, q](const auto& in) {
                 return mul(in[0], slope(op, p, q, in[1]));
               })};
             });
  return traced(y, [&] { return TraceOptions{{"p", p}, {"q", q}}; });
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
  return traced(activate("gelu", exact ? Activation::gelu : Activation::gelu_tanh, Keep::input, x), [&] {
    return TraceOptions{{"approximate", exact ? "none" : "tanh"}};
  });
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
  if (x.dtype() == f16)
    return in_kernel_dtype(x, [&](const Tensor& wide) { return prelu(wide, widen(weight)); });
  const Tensor w = beside(x, weight);
  check(w.dtype() == parameter_dtype(x.dtype()), "prelu: expects a weight of ", parameter_dtype(x.dtype()),
        ", got ", w.dtype());
  check(w.numel() == 1 ? w.dim() <= 1 : w.dim() == 1 && x.dim() >= 1 && w.size(0) == x.size(-1),
        "prelu: expects a weight of 1 element or one for each channel of ", x.shape(), ", got ", w.shape());
  const auto slope_of = [](const Tensor& one) { return one.numel() == 1 ? one.reshape({}) : one; };
  const Tensor slope = slope_of(w.detach());  // x may be a scalar
  Tensor y = empty_like(x);
  kernels::prelu(x, slope, y);
  return record("prelu", y, {x, w}, twice_differentiable,
                [x_grad = x.requires_grad(), w_grad = w.requires_grad(), slope_of, x = SavedTensor(x),
                 w = SavedTensor(w)](const Tensor& dy) {
                  const Tensor from = x.get(), by = w.get(), each = slope_of(by.detach());
                  Tensor dx, dw;
                  if (x_grad) {
                    dx = empty_like(dy);
                    kernels::prelu_backward(dy, from, each, dx);
                  }
                  if (w_grad) {
                    Tensor terms = empty(dy.shape(), {.dtype = by.dtype(), .device = dy.device()});
                    kernels::prelu_weight_backward(dy, from, terms);
                    dw = sum_to(terms, each.shape()).reshape(by.shape());
                  }
                  return record_gradients("prelu", {dx, dw}, dy, {from, by}, [slope_of](const auto& in) {
                    return where(gt(in[0], 0), in[0], mul(in[0], slope_of(in[1])));
                  });
                });
}

Tensor glu(const Tensor& x, int dim) {
  check(is_floating(x.dtype()), "glu: expects f32, f64 or bf16, got ", x.dtype());
  if (x.dtype() == f16) return in_kernel_dtype(x, [dim](const Tensor& wide) { return glu(wide, dim); });
  check(x.dim() >= 1, "glu: expects at least 1 dimension, got ", x.shape());
  const int d = normalize_dim(dim, x.dim(), "glu");
  check(x.size(d) % 2 == 0, "glu: expects an even size in dimension ", dim, ", got ", x.shape());
  Shape shape = x.shape();
  shape[d] /= 2;
  std::int64_t half = 1;
  for (int i = d; i < shape.dims(); ++i) half *= shape[i];
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  kernels::glu(x, half, y);
  return record("glu", y, {x}, twice_differentiable, [half, d, x = SavedTensor(x)](const Tensor& dy) {
    const Tensor from = x.get();
    Tensor dx = empty_like(from);
    kernels::glu_backward(dy, from, half, dx);
    return record_gradients("glu", {dx}, dy, {from}, [d](const auto& in) {
      const std::int64_t size = in[0].size(d) / 2;
      return mul(narrow(in[0], d, 0, size), sigmoid(narrow(in[0], d, size, size)));
    });
  });
}

}  // namespace karyon
