#include <cmath>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/combine.h>

// Functions of each element, in the layout that the input has.
namespace karyon::onnx {
namespace {

template <Tensor (*f)(const Tensor&)>
Values unary(const Call& call) {
  return {like(call, 0, f(call.raw(0)))};
}

// Whole numbers, which floating kernels do not take.
Tensor absolute(const Tensor& x) {
  return is_floating(x.dtype()) ? abs(x) : where(lt(x, 0.0), mul(x, -1.0), x);
}
Tensor negative(const Tensor& x) { return is_floating(x.dtype()) ? neg(x) : mul(x, -1.0); }
Tensor signum(const Tensor& x) {
  return is_floating(x.dtype()) ? sign(x) : sub(gt(x, 0.0).to(i64), lt(x, 0.0).to(i64));
}

// Inverse hyperbolic functions, without a loss of digits near 0.
Tensor acosh(const Tensor& x) { return log1p(add(sub(x, ones_like(x)), sqrt(sub(mul(x, x), ones_like(x))))); }
Tensor asinh(const Tensor& x) {
  const Tensor a = abs(x), square = mul(a, a);
  return mul(sign(x), log1p(add(a, div(square, add(sqrt(add(square, 1.0)), 1.0)))));
}
Tensor atanh(const Tensor& x) { return mul(sub(log1p(x), log1p(neg(x))), 0.5); }

Values elu_(const Call& c) { return {like(c, 0, elu(c.raw(0), c.node.real("alpha", 1)))}; }
Values celu_(const Call& c) { return {like(c, 0, celu(c.raw(0), c.node.real("alpha", 1)))}; }
Values leaky_relu_(const Call& c) { return {like(c, 0, leaky_relu(c.raw(0), c.node.real("alpha", 0.01)))}; }
Values selu_(const Call& c) {
  const double alpha = c.node.real("alpha", 1.67326319217681884765625);
  return {like(c, 0, mul(elu(c.raw(0), alpha), c.node.real("gamma", 1.05070102214813232421875)))};
}
Values hard_sigmoid(const Call& c) {
  const Tensor line = add(mul(c.raw(0), c.node.real("alpha", 0.2)), c.node.real("beta", 0.5));
  return {like(c, 0, hardtanh(line, 0, 1))};
}
Values gelu_(const Call& c) {
  const bool fast = c.node.text_of("approximate", "none") == "tanh";
  return {like(c, 0, gelu(c.raw(0), {.approximate = fast ? GeluApproximate::tanh : GeluApproximate::none}))};
}
Values swish(const Call& c) {
  const Tensor x = c.raw(0);
  return {like(c, 0, mul(x, sigmoid(mul(x, c.node.real("alpha", 1)))))};
}
Values thresholded_relu(const Call& c) {
  const Tensor x = c.raw(0);
  return {like(c, 0, where(gt(x, c.node.real("alpha", 1)), x, zeros_like(x)))};
}
Values shrink(const Call& c) {
  const double bias = c.node.real("bias", 0), lambda = c.node.real("lambd", 0.5);
  const bool whole = !is_floating(c.raw(0).dtype());
  const Tensor x = whole ? c.raw(0).to(f64) : c.raw(0);
  const Tensor low = add(x, bias), high = add(x, -bias);
  const Tensor y = where(lt(x, -lambda), low, where(gt(x, lambda), high, zeros_like(x)));
  return {like(c, 0, whole ? converted(y, c.type(0)) : y)};
}
Values prelu_(const Call& c) {
  const auto leak = [](const Tensor& x, const Tensor& slope) { return where(lt(x, 0.0), mul(x, slope), x); };
  Value slope = c.value(1);
  if (c.opset() < 7 && c.x(1).dim() == 1)  // then it was one for each channel
    for (int d = 2; d < c.x(0).dim(); ++d) slope.tensor = unsqueeze(slope.tensor, -1);
  return {combined(c.value(0), slope, leak)};
}

Values clip(const Call& c) {
  const Tensor x = c.raw(0);
  if (is_floating(x.dtype())) {
    const double low = c.number(1, "min", -INFINITY), high = c.number(2, "max", INFINITY);
    if (low <= high) return {like(c, 0, clamp(x, low, high))};
    return {like(c, 0, full(x.shape(), high, {.dtype = x.dtype(), .device = x.device()}))};
  }
  Tensor y = x;
  if (c.has(1)) y = where(lt(y, c.x(1)), c.x(1), y);
  if (c.has(2)) y = where(gt(y, c.x(2)), c.x(2), y);
  return {like(c, 0, y)};
}

Values dropout_(const Call& c) {
  Values outputs{like(c, 0, c.raw(0))};
  if (c.wants(1)) outputs.push_back(Value(full(c.x(0).shape(), 1, {.dtype = boolean})));
  return outputs;
}
std::string dropout_refuses(const Node& node, const Facts& facts) {
  if (node.inputs.size() < 3) return "";
  const Fact* training = fact_of(facts, node, 2);
  const bool off = training != nullptr && training->known.defined() && training->known.numel() == 1 &&
                   training->known.item<double>() == 0;
  return off ? "" : "in training mode";
}

Values softplus_(const Call& c) { return {like(c, 0, softplus(c.raw(0)))}; }
Values identity(const Call& c) { return {c.value(0)}; }

}  // namespace

std::vector<Operator> activation_operators() {
  return {
      {"Abs", unary<absolute>},
      {"Acos", unary<acos>},
      {"Acosh", unary<acosh>},
      {"Asin", unary<asin>},
      {"Asinh", unary<asinh>},
      {"Atan", unary<atan>},
      {"Atanh", unary<atanh>},
      {"Ceil", unary<ceil>},
      {"Celu", celu_},
      {"Clip", clip},
      {"Cos", unary<cos>},
      {"Cosh", unary<cosh>},
      {"Dropout", dropout_, dropout_refuses},
      {"Elu", elu_},
      {"Erf", unary<erf>},
      {"Exp", unary<exp>},
      {"Floor", unary<floor>},
      {"Gelu", gelu_},
      {"HardSigmoid", hard_sigmoid},
      {"HardSwish", unary<hardswish>},
      {"LeakyRelu", leaky_relu_},
      {"Log", unary<log>},
      {"Mish", unary<mish>},
      {"Neg", unary<negative>},
      {"PRelu", prelu_},
      {"Reciprocal", unary<reciprocal>},
      {"Relu", unary<relu>},
      {"Round", unary<round>},
      {"Selu", selu_},
      {"Shrink", shrink},
      {"Sigmoid", unary<sigmoid>},
      {"Sign", unary<signum>},
      {"Sin", unary<sin>},
      {"Sinh", unary<sinh>},
      {"Softplus", softplus_},
      {"Softsign", unary<softsign>},
      {"Sqrt", unary<sqrt>},
      {"Swish", swish},
      {"Tan", unary<tan>},
      {"Tanh", unary<tanh>},
      {"ThresholdedRelu", thresholded_relu},
      {"Identity", identity},
  };
}

}  // namespace karyon::onnx
