#include <cmath>

#include <karyon/core/ops/einsum.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/layers/linear.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/fusion.h>

namespace karyon::onnx {
namespace {

/// Products of whole numbers are exact in f64 up to 2^53.
Tensor product(const Tensor& a, const Tensor& b, int type) {
  if (is_floating(a.dtype())) return matmul(a, b);
  return converted(matmul(a.to(f64), b.to(f64)), type);
}
Values matmul_(const Call& call) { return {product(call.x(0), call.x(1), call.type(0))}; }

/// A product with a weight [out, in], and the bias, sum and activation that fuse() found behind it: inputs 2 and
/// 3. Without recording it is one pass.
Values fused_linear(const Call& call) {
  const Tensor x = call.x(0), weight = call.x(1), bias = call.maybe(2), residual = call.maybe(3);
  const ActivationKind kind = fused_activation(call.node);
  Shape shape = x.shape();
  if (x.dim() > 0) shape[x.dim() - 1] = weight.size(0);
  if (!residual.defined() || residual.shape() == shape)
    return {linear_activation(x, weight, bias, kind, {}, residual)};
  return {activate(add(linear(x, weight, bias), residual), kind)};
}

Values gemm(const Call& call) {
  Tensor a = call.x(0), b = call.x(1);
  const double alpha = call.node.real("alpha", 1), beta = call.node.real("beta", 1);
  const bool flipped = call.node.integer("transB", 0) != 0;
  if (call.node.integer("transA", 0) != 0) a = transpose(a, 0, 1);
  const bool plain = alpha == 1 && beta == 1 && is_floating(a.dtype());
  check(a.dim() == 2 && b.dim() == 2, "expects matrices, got ", a.shape(), " and ", b.shape());
  if (plain && flipped && call.has(2) && call.x(2).shape() == Shape{b.size(0)})
    return {linear(a, b, call.x(2))};
  Tensor y = plain && flipped ? linear(a, b) : product(a, flipped ? transpose(b, 0, 1) : b, call.type(0));
  if (alpha != 1) y = mul(y, alpha);
  if (call.has(2) && beta != 0) y = add(y, beta == 1 ? call.x(2) : mul(call.x(2), beta));
  return {y};
}

Values einsum_(const Call& call) {
  std::vector<Tensor> operands;
  for (int i = 0; i < call.count(); ++i) operands.push_back(call.x(i));
  return {einsum(call.node.text_of("equation", ""), operands)};
}

/// A zero point of one number for each row (or column) of a matrix.
Tensor without_zero(const Tensor& x, const Tensor& zero, bool rows) {
  if (!zero.defined()) return x;
  return sub(x, rows && zero.dim() == 1 && zero.numel() > 1 ? unsqueeze(zero, -1) : zero);
}
Values matmul_integer(const Call& call) {
  const Tensor a = without_zero(call.x(0), call.maybe(2), true),
               b = without_zero(call.x(1), call.maybe(3), false);
  return {Value(product(a, b, int32), int32)};
}
Values qlinear_matmul(const Call& call) {
  const auto real = [&](int i, bool rows) {
    const Tensor x = without_zero(call.x(i), call.x(i + 2), rows).to(f64), scale = call.x(i + 1).to(f64);
    return mul(x, rows && scale.dim() == 1 && scale.numel() > 1 ? unsqueeze(scale, -1) : scale);
  };
  const Tensor y = div(matmul(real(0, true), real(3, false)), call.x(6).to(f64));
  const int type = call.type(7);
  const Tensor shifted = add(round(y), call.x(7).to(f64));
  return {Value(clamp(shifted, static_cast<double>(lowest(type)), static_cast<double>(highest(type))).to(i64),
                type)};
}

/// Determinants of matrices, by elimination.
Values det(const Call& call) {
  const Tensor x = call.x(0);
  check(x.dim() >= 2 && x.size(-1) == x.size(-2), "expects square matrices, got ", x.shape());
  const auto n = static_cast<std::size_t>(x.size(-1));
  std::vector<double> all = x.to_vector<double>(), results;
  Shape shape;
  for (int d = 0; d < x.dim() - 2; ++d) shape.push_back(x.size(d));
  for (std::size_t begin = 0; static_cast<std::int64_t>(results.size()) < shape.numel(); begin += n * n) {
    const auto at = [&](std::size_t i, std::size_t j) -> double& { return all[begin + i * n + j]; };
    double result = 1;
    for (std::size_t k = 0; k < n; ++k) {
      std::size_t best = k;
      for (std::size_t i = k + 1; i < n; ++i)
        if (std::fabs(at(i, k)) > std::fabs(at(best, k))) best = i;
      if (best != k) {
        for (std::size_t j = 0; j < n; ++j) std::swap(at(k, j), at(best, j));
        result = -result;
      }
      result *= at(k, k);
      for (std::size_t i = k + 1; i < n && at(k, k) != 0; ++i) {
        const double factor = at(i, k) / at(k, k);
        for (std::size_t j = k; j < n; ++j) at(i, j) -= factor * at(k, j);
      }
    }
    results.push_back(result);
  }
  return {tensor(results, shape, {.dtype = x.dtype()})};
}

}  // namespace

std::vector<Operator> matmul_operators() {
  return {
      {"MatMul", matmul_}, {"karyon:Linear", fused_linear},   {"Gemm", gemm},
      {"Einsum", einsum_}, {"MatMulInteger", matmul_integer}, {"QLinearMatMul", qlinear_matmul},
      {"Det", det},
  };
}

}  // namespace karyon::onnx
